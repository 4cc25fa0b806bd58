/** Standard kinds for machines that are there: size, pause, snapshots. */
import { z } from "zod";
import { AppError } from "#domain/error.ts";
import type { Json } from "#domain/json.ts";
import type { StepContext, StepKind, StepResult } from "#process/contract.ts";
import type { Platform } from "#app/context.ts";
import { machineSpec, observed, startMachine } from "#app/steps/machine.ts";
import { findMachine, machineRef, theMachine } from "#app/steps/realised.ts";
import { snapshotByName } from "#store/snapshot.ts";

const machineInput = z.object({ machine: z.string() });
type MachineInput = z.infer<typeof machineInput>;

const sizeSchema = z.object({
  size: z.string(),
  vcpus: z.int(),
  memoryMiB: z.int(),
  storageMiB: z.int(),
  volumes: z.array(z.object({ name: z.string(), sizeMiB: z.int() })),
});
type Size = z.infer<typeof sizeSchema>;
const resizeInput = machineInput.extend({ from: sizeSchema, to: sizeSchema });
const snapshotInput = machineInput.extend({ snapshot: z.string() });
type SnapshotInput = z.infer<typeof snapshotInput>;

const callTimeoutMs = 30_000;
const patienceMs = 120_000;
const limits = { attemptTimeoutMs: callTimeoutMs, deadlineMs: patienceMs };
const nothing: StepResult & { output: Json } = { output: null, changes: [] };

/** Sizes and volumes of a machine, live where its endpoint can; otherwise the machine must be stopped. */
export function machineResize(platform: Platform): StepKind<z.infer<typeof resizeInput>, Json> {
  return {
    kind: "machine.resize",
    input: resizeInput,
    effect: ({ machine, to }) => ({ creates: [], changes: [`${machine} has ${to.vcpus} vCPU and ${to.memoryMiB} MiB`], removes: [] }),
    ...limits,
    do: (ctx, { machine, to }) => resize(platform, ctx, machine, to),
    // Volumes stay as large as they became: nothing can shrink them.
    undo: (ctx, { machine, from, to }) => resize(platform, ctx, machine, { ...from, volumes: to.volumes, storageMiB: to.storageMiB }),
  };
}

async function resize(platform: Platform, ctx: StepContext, machine: string, to: Size) {
  const row = await findMachine(platform, ctx.vappId, machine);
  if (row === null) return nothing;
  const provider = await platform.endpoints.provider(row.endpoint_id);
  const spec = await machineSpec(platform, row);
  const facts = await provider.machineEnsure(ctx, { ...spec, vcpus: to.vcpus, memoryMiB: to.memoryMiB, volumes: to.volumes });
  if (facts.vcpus !== to.vcpus || facts.memoryMiB !== to.memoryMiB) {
    throw new AppError("endpoint_refused", `${machine} still has ${facts.vcpus} vCPU and ${facts.memoryMiB} MiB`, {
      detail: [
        {
          constraint: `the endpoint did not change a machine that is ${facts.power}`,
          source: provider.kind,
          nearest: "stop the machine and resize it",
        },
      ],
    });
  }
  return {
    output: { vcpus: facts.vcpus, memoryMiB: facts.memoryMiB },
    changes: [await observed(platform, row, provider, facts, to), { type: "machine.resized" as const, machine, ...to }],
  };
}

export function machinePause(platform: Platform): StepKind<MachineInput, Json> {
  return {
    kind: "machine.pause",
    input: machineInput,
    effect: ({ machine }) => ({ creates: [], changes: [`machine ${machine} is paused`], removes: [] }),
    ...limits,
    async do(ctx, { machine }) {
      const row = await theMachine(platform, ctx.vappId, machine);
      const provider = await platform.endpoints.provider(row.endpoint_id);
      await provider.machinePause(ctx, machineRef(platform, row));
      return nothing;
    },
    undo: (ctx, { machine }) => startMachine(platform, ctx, machine),
  };
}

/** The end of a pause. It has no undo: undoing the pause comes to the same. */
export function machineResume(platform: Platform): StepKind<MachineInput, Json> {
  return {
    kind: "machine.resume",
    input: machineInput,
    effect: ({ machine }) => ({ creates: [], changes: [`machine ${machine} goes on`], removes: [] }),
    ...limits,
    do: (ctx, { machine }) => startMachine(platform, ctx, machine),
    undo: "nothing",
  };
}

export function snapshotEnsure(platform: Platform): StepKind<SnapshotInput, Json> {
  return {
    kind: "snapshot.ensure",
    input: snapshotInput,
    effect: ({ machine, snapshot }) => ({ creates: [`snapshot ${snapshot} of ${machine}`], changes: [], removes: [] }),
    ...limits,
    async do(ctx, { machine, snapshot }) {
      const { provider, ref, name } = await kept(platform, ctx, machine, snapshot);
      const facts = await provider.snapshotEnsure(ctx, ref, name);
      return { output: { createdAt: facts.createdAt }, changes: [] };
    },
    undo: (ctx, input) => removeSnapshot(platform, ctx, input),
  };
}

export function snapshotRevert(platform: Platform): StepKind<SnapshotInput, Json> {
  return {
    kind: "snapshot.revert",
    input: snapshotInput,
    effect: ({ machine, snapshot }) => ({ creates: [], changes: [`disks of ${machine} are those of ${snapshot}`], removes: [] }),
    ...limits,
    async do(ctx, { machine, snapshot }) {
      const { provider, ref, name } = await kept(platform, ctx, machine, snapshot);
      await provider.snapshotRevert(ctx, ref, name);
      return nothing;
    },
    undo: "irreversible",
  };
}

export function snapshotRemove(platform: Platform): StepKind<SnapshotInput, Json> {
  return {
    kind: "snapshot.remove",
    input: snapshotInput,
    effect: ({ machine, snapshot }) => ({ creates: [], changes: [], removes: [`snapshot ${snapshot} of ${machine}`] }),
    ...limits,
    do: (ctx, input) => removeSnapshot(platform, ctx, input),
    undo: "irreversible",
  };
}

async function removeSnapshot(platform: Platform, ctx: StepContext, { machine, snapshot }: SnapshotInput) {
  if ((await findMachine(platform, ctx.vappId, machine)) === null) return nothing;
  const { provider, ref, name } = await kept(platform, ctx, machine, snapshot);
  await provider.snapshotRemove(ctx, ref, name);
  return nothing;
}

async function kept(platform: Platform, ctx: StepContext, machine: string, snapshot: string) {
  const row = await theMachine(platform, ctx.vappId, machine);
  const known = await snapshotByName(platform.database, ctx.vappId, snapshot);
  if (known === undefined) throw new AppError("not_found", `the vApp has no snapshot ${snapshot}`);
  return { provider: await platform.endpoints.provider(row.endpoint_id), ref: machineRef(platform, row), name: known.external_name };
}
