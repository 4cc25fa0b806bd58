/** Standard kinds of the network: segments, addresses, exposures. */
import { z } from "zod";
import type { Json } from "#domain/json.ts";
import type { StepContext, StepKind } from "#process/contract.ts";
import type { Platform } from "#app/context.ts";
import { findExposure, findMachine, findSegment, ownerOf, segmentRef, theMachine, theSegment, theVapp } from "#app/steps/realised.ts";
import { transact } from "#store/database.ts";
import { addressEnsure, prefixEnsure } from "#store/ipam.ts";
import { projectById } from "#store/installation.ts";
import { addressList } from "#store/vapp.ts";
import type { DesiredMachine } from "#domain/plan.ts";

const segmentInput = z.object({ segment: z.string() });
const machineInput = z.object({ machine: z.string() });
const exposureInput = z.object({ exposure: z.string() });

const callTimeoutMs = 10_000;
const patienceMs = 60_000;

export function segmentEnsure(platform: Platform): StepKind<z.infer<typeof segmentInput>, Json> {
  return {
    kind: "segment.ensure",
    input: segmentInput,
    effect: ({ segment }) => ({ creates: [`segment ${segment}`], changes: [], removes: [] }),
    attemptTimeoutMs: callTimeoutMs,
    deadlineMs: patienceMs,
    async do(ctx, { segment }) {
      const row = await theSegment(platform, ctx.vappId, segment);
      const vapp = await theVapp(platform, ctx.vappId);
      const project = await projectById(platform.database, vapp.project_id);
      const { prefix, gateway } = await transact(platform.database, ctx, (tx) => prefixEnsure(tx, row.id, project!.prefix_pool));
      const fabric = await platform.endpoints.fabric(row.site_id);
      const facts = await fabric.segmentEnsure(ctx, { ...segmentRef(platform, row), prefix, gateway, isolated: row.isolated });
      return {
        output: { prefix, gateway, attachment: facts.attachment },
        changes: [{ type: "segment.realised", segment, attachment: facts.attachment }],
      };
    },
    undo: (ctx, { segment }) => removeSegment(platform, ctx, segment),
  };
}

export function segmentRemove(platform: Platform): StepKind<z.infer<typeof segmentInput>, Json> {
  return {
    kind: "segment.remove",
    input: segmentInput,
    effect: ({ segment }) => ({ creates: [], changes: [], removes: [`segment ${segment}`] }),
    attemptTimeoutMs: callTimeoutMs,
    deadlineMs: patienceMs,
    do: (ctx, { segment }) => removeSegment(platform, ctx, segment),
    undo: "irreversible",
  };
}

async function removeSegment(platform: Platform, ctx: StepContext, segment: string) {
  const row = await findSegment(platform, ctx.vappId, segment);
  if (row === null) return { output: null, changes: [] };
  const fabric = await platform.endpoints.fabric(row.site_id);
  await fabric.segmentRemove(ctx, segmentRef(platform, row));
  return { output: null, changes: [{ type: "segment.removed" as const, segment }] };
}

/** One address on each of the machine's segments, from the built-in IPAM. */
export function addressEnsureStep(platform: Platform): StepKind<z.infer<typeof machineInput>, Json> {
  return {
    kind: "address.ensure",
    input: machineInput,
    effect: ({ machine }) => ({ creates: [`addresses of ${machine}`], changes: [], removes: [] }),
    attemptTimeoutMs: callTimeoutMs,
    deadlineMs: patienceMs,
    async do(ctx, { machine }) {
      const row = await theMachine(platform, ctx.vappId, machine);
      const output: Record<string, Json> = {};
      for (const name of (row.spec as unknown as DesiredMachine).segments) {
        const segment = await theSegment(platform, ctx.vappId, name);
        output[name] = await transact(platform.database, ctx, (tx) => addressEnsure(tx, segment.id, row.id));
      }
      return { output, changes: [] };
    },
    async undo(ctx, { machine }) {
      const row = await findMachine(platform, ctx.vappId, machine);
      return { output: null, changes: row === null ? [] : [{ type: "machine.removed", machine }] };
    },
  };
}

export function exposureEnsure(platform: Platform): StepKind<z.infer<typeof exposureInput>, Json> {
  return {
    kind: "exposure.ensure",
    input: exposureInput,
    effect: ({ exposure }) => ({ creates: [`exposure ${exposure}`], changes: [], removes: [] }),
    attemptTimeoutMs: callTimeoutMs,
    deadlineMs: patienceMs,
    async do(ctx, { exposure }) {
      const row = await findExposure(platform, ctx.vappId, exposure);
      if (row === null) throw new Error(`the vApp has no exposure ${exposure}`);
      const address = (await addressList(platform.database, [row.machine_id])).find((candidate) => candidate.segment_id === row.segment_id);
      const segment = await theSegment(platform, ctx.vappId, address!.segment_name);
      const fabric = await platform.endpoints.fabric(row.site_id);
      const facts = await fabric.exposureEnsure(ctx, {
        name: row.external_name,
        owner: ownerOf(platform, row.vapp_id, row.id),
        target: { segment: segment.external_name, address: address!.address, port: row.target_port },
        ...(row.port === null ? {} : { port: row.port }),
      });
      const { address: listen, port } = facts;
      return { output: { address: listen, port }, changes: [{ type: "exposure.realised", exposure, address: listen, port }] };
    },
    undo: (ctx, { exposure }) => removeExposure(platform, ctx, exposure),
  };
}

export function exposureRemove(platform: Platform): StepKind<z.infer<typeof exposureInput>, Json> {
  return {
    kind: "exposure.remove",
    input: exposureInput,
    effect: ({ exposure }) => ({ creates: [], changes: [], removes: [`exposure ${exposure}`] }),
    attemptTimeoutMs: callTimeoutMs,
    deadlineMs: patienceMs,
    do: (ctx, { exposure }) => removeExposure(platform, ctx, exposure),
    undo: "irreversible",
  };
}

async function removeExposure(platform: Platform, ctx: StepContext, exposure: string) {
  const row = await findExposure(platform, ctx.vappId, exposure);
  if (row === null) return { output: null, changes: [] };
  const fabric = await platform.endpoints.fabric(row.site_id);
  await fabric.exposureRemove(ctx, { name: row.external_name, owner: ownerOf(platform, row.vapp_id, row.id) });
  return { output: null, changes: [{ type: "exposure.removed" as const, exposure }] };
}
