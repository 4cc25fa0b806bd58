/** Standard kinds of machines: image, existence, power. */
import { z } from "zod";
import type { Change, FactInput } from "#domain/change.ts";
import { driftOf, type Drift } from "#domain/drift.ts";
import { AppError } from "#domain/error.ts";
import type { Json } from "#domain/json.ts";
import type { DesiredMachine } from "#domain/plan.ts";
import type { StepContext, StepKind } from "#process/contract.ts";
import type { ImageFormat, MachineFacts, MachineSpec, Provider } from "#provider/contract.ts";
import type { Platform } from "#app/context.ts";
import { applyContext } from "#app/steps/guest.ts";
import { findMachine, machineRef, theMachine } from "#app/steps/realised.ts";
import { imageList } from "#store/catalogue.ts";
import { endpointById } from "#store/site.ts";
import { snapshotList } from "#store/snapshot.ts";
import { addressList, machineList, nicList, segmentList, type MachineRow } from "#store/vapp.ts";

const machineInput = z.object({ machine: z.string() });
/** `already`: it was so when the order was accepted, and undoing the step leaves it so. */
const startInput = machineInput.extend({ already: z.boolean().default(false) });
const stopInput = startInput.extend({ graceMs: z.int().min(0).max(120_000).default(20_000) });
const imageInput = z.object({ endpoint: z.string(), image: z.string(), digest: z.string() });

type MachineInput = z.infer<typeof machineInput>;

/** Uploading takes as long as the image is big; everything else about a machine is a few calls. */
const uploadTimeoutMs = 120_000;
const callTimeoutMs = 30_000;
const patienceMs = 120_000;

export function imageEnsure(platform: Platform): StepKind<z.infer<typeof imageInput>, Json> {
  return {
    kind: "image.ensure",
    input: imageInput,
    effect: ({ image }) => ({ creates: [`image ${image} in the endpoint's cache`], changes: [], removes: [] }),
    attemptTimeoutMs: uploadTimeoutMs,
    deadlineMs: 2 * uploadTimeoutMs,
    async do(ctx, { endpoint, image, digest }) {
      const provider = await platform.endpoints.provider(endpoint);
      const variant = (await imageList(platform.database, [image])).find((row) => row.digest === digest);
      if (variant === undefined) {
        // The catalogue has moved on; machines made from the old one are repaired from the endpoint's own copy.
        if ((await provider.imageList(ctx)).some(({ name }) => name === imageName(digest)))
          return { output: { name: imageName(digest) }, changes: [] };
        throw new AppError("not_found", `image ${image} was replaced since the plan was made`, { internal: digest });
      }
      await provider.imageEnsure(ctx, {
        name: imageName(digest),
        digest,
        format: variant.format as ImageFormat,
        sizeBytes: variant.size_bytes,
        ...(variant.path === null ? {} : { path: variant.path }),
      });
      return { output: { name: imageName(digest) }, changes: [] };
    },
    undo: "nothing",
  };
}

export function machineEnsure(platform: Platform): StepKind<MachineInput, Json> {
  return {
    kind: "machine.ensure",
    input: machineInput,
    effect: ({ machine }) => ({ creates: [`machine ${machine}`], changes: [], removes: [] }),
    attemptTimeoutMs: callTimeoutMs,
    deadlineMs: patienceMs,
    async do(ctx, { machine }) {
      const row = await theMachine(platform, ctx.vappId, machine);
      const provider = await platform.endpoints.provider(row.endpoint_id);
      const spec = await machineSpec(platform, row);
      await provider.machineEnsure(ctx, spec);
      const facts = await provider.machineStart(ctx, spec);
      const changes = [await observed(platform, row, provider, facts), ...(await forgotten(platform, ctx, provider, row))];
      return { output: { externalId: facts.externalId }, changes };
    },
    undo: (ctx, { machine }) => removeMachine(platform, ctx, machine),
  };
}

export function machineStart(platform: Platform): StepKind<z.infer<typeof startInput>, Json> {
  return {
    kind: "machine.start",
    input: startInput,
    effect: ({ machine }) => ({ creates: [], changes: [`machine ${machine} runs`], removes: [] }),
    attemptTimeoutMs: callTimeoutMs,
    deadlineMs: patienceMs,
    do: (ctx, { machine }) => startMachine(platform, ctx, machine),
    undo: (ctx, { machine, already }) => (already ? untouched() : stopMachine(platform, ctx, machine, 0)),
  };
}

export function machineStop(platform: Platform): StepKind<z.infer<typeof stopInput>, Json> {
  return {
    kind: "machine.stop",
    input: stopInput,
    effect: ({ machine }) => ({ creates: [], changes: [`machine ${machine} is stopped`], removes: [] }),
    attemptTimeoutMs: callTimeoutMs,
    deadlineMs: patienceMs,
    do: (ctx, { machine, graceMs }) => stopMachine(platform, ctx, machine, graceMs),
    async undo(ctx, { machine, already }) {
      if (already) return untouched();
      const started = await startMachine(platform, ctx, machine);
      await applyContext(platform, ctx, machine);
      return started;
    },
  };
}

export function machineRemove(platform: Platform): StepKind<MachineInput, Json> {
  return {
    kind: "machine.remove",
    input: machineInput,
    effect: ({ machine }) => ({ creates: [], changes: [], removes: [`machine ${machine} and its disks`] }),
    attemptTimeoutMs: callTimeoutMs,
    deadlineMs: patienceMs,
    do: (ctx, { machine }) => removeMachine(platform, ctx, machine),
    undo: "irreversible",
  };
}

/** A machine that was lost and made anew has lost its snapshots with its disks. Asked of the endpoint, so that no crash in between hides it. */
async function forgotten(platform: Platform, ctx: StepContext, provider: Provider, row: MachineRow): Promise<Change[]> {
  if (!provider.capabilities.snapshots) return [];
  const known = (await snapshotList(platform.database, [row.vapp_id])).filter(
    ({ state, machines }) => state === "realised" && (machines as unknown as string[]).includes(row.name),
  );
  if (known.length === 0) return [];
  const kept = new Set((await provider.snapshotList(ctx, machineRef(platform, row))).map(({ name }) => name));
  const snapshots = known.filter((one) => !kept.has(one.external_name)).map(({ name }) => name);
  return snapshots.length === 0 ? [] : [{ type: "machine.forgotSnapshots", machine: row.name, snapshots }];
}

async function untouched() {
  return { output: null, changes: [] };
}

export async function startMachine(platform: Platform, ctx: StepContext, machine: string) {
  const row = await theMachine(platform, ctx.vappId, machine);
  const provider = await platform.endpoints.provider(row.endpoint_id);
  const facts = await provider.machineStart(ctx, machineRef(platform, row));
  return { output: null, changes: [await observed(platform, row, provider, facts)] };
}

export async function stopMachine(platform: Platform, ctx: StepContext, machine: string, graceMs: number) {
  const row = await theMachine(platform, ctx.vappId, machine);
  const provider = await platform.endpoints.provider(row.endpoint_id);
  await provider.machineStop(ctx, machineRef(platform, row), { graceMs });
  const facts = await provider.machineObserve(ctx, machineRef(platform, row));
  return { output: null, changes: facts === null ? [] : [await observed(platform, row, provider, facts)] };
}

async function removeMachine(platform: Platform, ctx: StepContext, machine: string) {
  const row = await findMachine(platform, ctx.vappId, machine);
  if (row === null) return { output: null, changes: [] };
  const provider = await platform.endpoints.provider(row.endpoint_id);
  await provider.machineRemove(ctx, machineRef(platform, row));
  return { output: null, changes: [{ type: "machine.removed" as const, machine }] };
}

/** What the endpoint said about a machine, as facts of the processing and network layers. */
export async function observed(
  platform: Platform,
  row: MachineRow,
  provider: Provider,
  facts: MachineFacts,
  /** What the step just asked for; default: as specified. */
  asked: Pick<MachineSpec, "vcpus" | "memoryMiB" | "volumes"> = row.spec as unknown as DesiredMachine,
): Promise<Change> {
  const endpoint = await endpointById(platform.database, row.endpoint_id);
  const { vcpus, memoryMiB, volumes } = asked;
  const nics = (await nicList(platform.database, [row.id])).map(({ mac, attachment }) => ({ mac, attachment: attachment ?? "" }));
  // A step has just brought it to what it is to be: what still differs does not change while the machine runs.
  const drift = driftOf({ vcpus, memoryMiB, volumes, nics }, facts, facts.power === "running");
  return machineObserved(row.name, `${provider.kind}:${endpoint?.name ?? "?"}`, facts, drift);
}

export function machineObserved(machine: string, source: string, facts: MachineFacts, drift: readonly Drift[]): Change {
  return {
    type: "machine.observed",
    machine,
    power: facts.power,
    drift,
    facts: observedFacts(source, facts),
  };
}

/** What the endpoint said, as facts of the processing, storage, network and management layers. */
export function observedFacts(source: string, facts: MachineFacts): FactInput[] {
  return [
    { layer: "processing", name: "power", value: facts.power, source },
    { layer: "processing", name: "vcpus", value: facts.vcpus, source },
    { layer: "processing", name: "memoryMiB", value: facts.memoryMiB, source },
    { layer: "management", name: "externalId", value: facts.externalId, source },
    { layer: "storage", name: "volumes", value: facts.volumes.map(({ name, sizeMiB }) => ({ name, sizeMiB })), source },
    { layer: "network", name: "nics", value: facts.nics.map(({ mac, attachment }) => ({ mac, attachment })), source },
  ];
}

/** Fixed name of an image at endpoints. */
export function imageName(digest: string): string {
  return `strat-${digest.slice(0, 16)}`;
}

/** Everything the provider needs, from rows; the same rows give the same specification. */
export async function machineSpec(platform: Platform, row: MachineRow): Promise<MachineSpec> {
  const spec = row.spec as unknown as DesiredMachine;
  const machines = (await machineList(platform.database, [row.vapp_id])).filter(({ desired }) => desired !== "deleted");
  const addresses = await addressList(
    platform.database,
    machines.map((machine) => machine.id),
  );
  const segments = new Map((await segmentList(platform.database, [row.vapp_id])).map((segment) => [segment.name, segment]));
  const nics = spec.segments.map((name, index) => {
    const segment = segments.get(name);
    const address = addresses.find((candidate) => candidate.machine_id === row.id && candidate.segment_name === name);
    if (segment?.attachment == null || segment.prefix === null || segment.gateway === null || address === undefined) {
      throw new AppError("conflict", `machine ${row.name} has no network ${name} yet`);
    }
    return {
      name: `eth${index}`,
      attachment: segment.attachment,
      mac: address.mac,
      address: address.address,
      prefixLength: Number(segment.prefix.split("/")[1]),
      ...(segment.isolated || index > 0 ? {} : { gateway: segment.gateway }),
    };
  });
  return {
    ...machineRef(platform, row),
    kind: row.kind,
    image: { name: imageName(row.image_digest), digest: row.image_digest },
    vcpus: spec.vcpus,
    memoryMiB: spec.memoryMiB,
    nics,
    volumes: spec.volumes,
    hostname: row.name,
    hosts: hostsFor(spec.segments, machines, addresses),
  };
}

/** Names a machine resolves without a call: every machine it shares a segment with, and each tier by its first machine. */
export function hostsFor(
  segments: readonly string[],
  machines: readonly { id: string; name: string; tier: string; ordinal: number }[],
  addresses: readonly { machine_id: string; segment_name: string; address: string }[],
): { address: string; names: string[] }[] {
  return machines.flatMap((machine) => {
    const own = addresses.filter((address) => address.machine_id === machine.id);
    const shared = segments
      .map((segment) => own.find((address) => address.segment_name === segment))
      .find((address) => address !== undefined);
    if (shared === undefined) return [];
    return [{ address: shared.address, names: machine.ordinal === 0 ? [machine.name, machine.tier] : [machine.name] }];
  });
}
