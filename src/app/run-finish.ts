/**
 * How a run ends: the vApp settles into what the outcome means, what is gone is released, quota follows the rows, and the lock of the
 * vApp is free again. One transaction with the run's end.
 */
import type { Clock } from "#domain/context.ts";
import { assert } from "#domain/error.ts";
import { formatId } from "#domain/id.ts";
import type { DesiredMachine } from "#domain/plan.ts";
import { release, type QuotaAmounts } from "#domain/quota.ts";
import type { RunOutcome } from "#domain/saga.ts";
import { machineRemoved } from "#app/changes.ts";
import { exposureLedger, machineLedger } from "#app/charge.ts";
import type { VappBefore } from "#app/desired.ts";
import { newId } from "#app/new-id.ts";
import type { Tx } from "#store/database.ts";
import { eventInsert } from "#store/event.ts";
import { ledgerAppend } from "#store/ledger.ts";
import { orderFinish } from "#store/order.ts";
import { quotaLock, quotaWrite } from "#store/quota.ts";
import { snapshotList, snapshotUpdate } from "#store/snapshot.ts";
import {
  databaseTime,
  exposureList,
  exposureUpdate,
  machineList,
  machineUpdate,
  secretsDelete,
  segmentList,
  segmentUpdate,
  takenByVapp,
  vappLock,
  vappUpdate,
  type MachineRow,
  type VappRow,
} from "#store/vapp.ts";

interface Source {
  readonly clock: Clock;
  readonly source: string;
}

const now = databaseTime as never;

export async function finishRun(ctx: Source, tx: Tx, runId: string, outcome: RunOutcome): Promise<void> {
  const order = await orderFinish(tx, runId, outcome);
  assert(order !== undefined, "a run has its order");
  const vapp = await vappLock(tx, order.vapp_id);
  assert(vapp !== undefined, "an order has its vApp");
  // A purge took the vApp over while this run was being undone: what is left is the purge's.
  if (vapp.run_id === runId) {
    const taken = await takenByVapp(tx, vapp.id);
    if (goneAfter(vapp, outcome)) await releaseVapp(ctx, tx, vapp);
    else await settleVapp(ctx, tx, vapp, outcome);
    await returnQuota(tx, vapp, taken);
  }
  await eventInsert(tx, {
    id: newId("run", ctx.clock),
    organizationId: vapp.organization_id,
    vappId: vapp.id,
    type: `run.${outcome}`,
    subject: formatId("run", runId),
    data: { action: order.action, order: formatId("order", order.id) },
  });
}

/** What the vApp takes less than when the run ended is free again: reserved and released meet in the rows. */
async function returnQuota(tx: Tx, vapp: VappRow, before: Readonly<Required<QuotaAmounts>>): Promise<void> {
  const after = await takenByVapp(tx, vapp.id);
  const returned = Object.fromEntries(
    Object.entries(before).map(([dimension, amount]) => [dimension, amount - after[dimension as keyof typeof after]]),
  );
  const balance = await quotaLock(tx, vapp.project_id);
  await quotaWrite(tx, vapp.project_id, balance, release(balance, returned));
}

function goneAfter(vapp: VappRow, outcome: RunOutcome): boolean {
  if (vapp.desired === "deleted") return outcome === "succeeded";
  return vapp.state === "provisioning" && outcome === "compensated";
}

async function settleVapp(ctx: Source, tx: Tx, vapp: VappRow, outcome: RunOutcome): Promise<void> {
  if (outcome === "failed") return settleFailed(ctx, tx, vapp);
  const before = vapp.before as unknown as VappBefore | null;
  const back = outcome === "compensated" && before !== null ? before : null;
  const desired = back?.desired ?? vapp.desired;
  for (const machine of await machineList(tx, [vapp.id])) {
    const stays = back === null ? machine.desired !== "deleted" : back.machines.includes(machine.name);
    if (stays) await settleMachine(ctx, tx, vapp, machine, desired);
    else await releaseMachine(ctx, tx, vapp, machine);
  }
  await releaseRemoved(tx, vapp, outcome);
  const machines = await machineList(tx, [vapp.id]);
  const state = desired === "stopped" ? "stopped" : machines.every(isWell) ? "active" : "degraded";
  await vappUpdate(tx, vapp.id, {
    run_id: null,
    desired,
    state,
    before: null,
    ...(back === null
      ? {}
      : {
          blueprint: JSON.stringify(back.blueprint),
          parameters: JSON.stringify(back.parameters),
          delete_at: back.deleteAt === null ? null : new Date(back.deleteAt),
        }),
  });
}

async function settleFailed(ctx: Source, tx: Tx, vapp: VappRow): Promise<void> {
  // A deployment that could not be undone is not to be repaired: what is left of it is to go.
  const desired = vapp.state === "provisioning" ? "deleted" : vapp.desired;
  for (const machine of await machineList(tx, [vapp.id])) {
    if (machine.desired === "deleted" && machine.state === "deleted" && desired !== "deleted") {
      await releaseMachine(ctx, tx, vapp, machine);
      continue;
    }
    await machineUpdate(tx, machine.id, settledSize(machine));
    if (desired !== "deleted") continue;
    // Nobody ordered what is left, so nobody pays for its running.
    await machineUpdate(tx, machine.id, { desired });
    await ledgerAppend(tx, machineLedger(vapp, machine, "stopped", ctx.source));
  }
  if (desired !== "deleted") await releaseRemoved(tx, vapp, "failed");
  await vappUpdate(tx, vapp.id, { run_id: null, state: "failed", desired, before: null });
}

async function settleMachine(ctx: Source, tx: Tx, vapp: VappRow, machine: MachineRow, desired: VappRow["desired"]): Promise<void> {
  await machineUpdate(tx, machine.id, { ...settledSize(machine), desired });
  if (machine.desired === desired) return;
  // Charging ended when the stop was accepted; a machine that runs on after all is charged again.
  if (desired === "running" && machine.state === "running") await ledgerAppend(tx, machineLedger(vapp, machine, "running", ctx.source));
}

/** Runs as specified, and nothing says that it does not answer. */
export function isWell(machine: Pick<MachineRow, "state" | "desired" | "drift" | "unhealthy_since">): boolean {
  return machine.state === machine.desired && machine.drift === null && machine.unhealthy_since === null;
}

/** What is true again decides what is held; a specification nobody carried out is forgotten. */
function settledSize(machine: MachineRow) {
  const spec = machine.spec as unknown as DesiredMachine;
  return { wanted: null, size: spec.size, vcpus: spec.vcpus, memory_mib: spec.memoryMiB };
}

async function releaseMachine(ctx: Source, tx: Tx, vapp: VappRow, machine: MachineRow): Promise<void> {
  await machineRemoved(ctx, tx, vapp, machine.name);
  await machineUpdate(tx, machine.id, { released_at: now });
}

/** Segments, exposures and snapshots that steps removed, or that a compensated run never made. */
async function releaseRemoved(tx: Tx, vapp: VappRow, outcome: RunOutcome): Promise<void> {
  const gone = (state: string) => state === "removed" || (state === "planned" && outcome === "compensated");
  for (const exposure of await exposureList(tx, [vapp.id]))
    if (gone(exposure.state)) await exposureUpdate(tx, exposure.id, { state: "removed", released_at: now });
  for (const segment of await segmentList(tx, [vapp.id]))
    if (gone(segment.state)) await segmentUpdate(tx, segment.id, { state: "removed", prefix: null, gateway: null, released_at: now });
  for (const snapshot of await snapshotList(tx, [vapp.id])) {
    if (gone(snapshot.state) && outcome !== "failed") await snapshotUpdate(tx, snapshot.id, { state: "removed", released_at: now });
    else if (snapshot.state === "planned" && outcome === "succeeded")
      await snapshotUpdate(tx, snapshot.id, { state: "realised", taken_at: now });
  }
}

/** Nothing of the vApp exists any more: rows become history, quota and names are free again. */
async function releaseVapp(ctx: Source, tx: Tx, vapp: VappRow): Promise<void> {
  for (const exposure of await exposureList(tx, [vapp.id])) {
    await ledgerAppend(tx, exposureLedger(vapp, exposure, "released", ctx.source));
    await exposureUpdate(tx, exposure.id, { state: "removed", released_at: now });
  }
  for (const machine of await machineList(tx, [vapp.id])) await releaseMachine(ctx, tx, vapp, machine);
  for (const segment of await segmentList(tx, [vapp.id]))
    await segmentUpdate(tx, segment.id, { state: "removed", prefix: null, gateway: null, attachment: null, released_at: now });
  for (const snapshot of await snapshotList(tx, [vapp.id])) await snapshotUpdate(tx, snapshot.id, { state: "removed", released_at: now });
  await secretsDelete(tx, vapp.id);
  await vappUpdate(tx, vapp.id, { run_id: null, desired: "deleted", state: "deleted", deleted_at: now, before: null });
}
