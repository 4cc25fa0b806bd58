/**
 * Writes what steps and samplers learned: rows, facts, ledger entries and events, in the caller's transaction. Charging starts with
 * the first observed `running`; a machine that stopped by itself stops being charged when that is observed.
 */
import { AppError } from "#domain/error.ts";
import type { Change } from "#domain/change.ts";
import type { Drift } from "#domain/drift.ts";
import { canonicalJson, type Json } from "#domain/json.ts";
import type { Clock } from "#domain/context.ts";
import { formatId } from "#domain/id.ts";
import type { DesiredMachine } from "#domain/plan.ts";
import { exposureLedger, machineLedger } from "#app/charge.ts";
import { newId } from "#app/new-id.ts";
import type { Tx } from "#store/database.ts";
import { eventInsert } from "#store/event.ts";
import { addressesRelease } from "#store/ipam.ts";
import { ledgerAppend } from "#store/ledger.ts";
import { snapshotList, snapshotUpdate } from "#store/snapshot.ts";
import {
  databaseTime,
  exposureList,
  exposureUpdate,
  factDelete,
  factPutMany,
  machineByName,
  machineUpdate,
  segmentList,
  segmentUpdate,
  type MachineRow,
  type VappRow,
} from "#store/vapp.ts";

export interface ChangeContext {
  readonly clock: Clock;
  /** Who learned it: `run run_…` or `sampler`. */
  readonly source: string;
}

export async function applyChange(ctx: ChangeContext, tx: Tx, vapp: VappRow, change: Change): Promise<void> {
  switch (change.type) {
    case "segment.realised": {
      const segment = (await segmentList(tx, [vapp.id])).find(({ name }) => name === change.segment);
      if (segment !== undefined) await segmentUpdate(tx, segment.id, { state: "realised", attachment: change.attachment });
      return;
    }
    case "segment.removed": {
      const segment = (await segmentList(tx, [vapp.id])).find(({ name }) => name === change.segment);
      if (segment !== undefined) await segmentUpdate(tx, segment.id, { state: "removed", attachment: null });
      return;
    }
    case "machine.observed":
      return machineObserved(ctx, tx, vapp, change);
    case "machine.healthy": {
      const machine = await machineByName(tx, vapp.id, change.machine);
      if (machine === undefined) return;
      await machineUpdate(tx, machine.id, { healthy_at: new Date(ctx.clock.now()), unhealthy_since: null });
      const fact = { layer: "application", name: "health", value: "healthy", source: "probe" } as const;
      await factPutMany(tx, [{ subjectId: machine.id, fact }], new Date(ctx.clock.now()));
      return;
    }
    case "machine.removed":
      return machineRemoved(ctx, tx, vapp, change.machine);
    case "machine.forgotSnapshots":
      return machineForgotSnapshots(ctx, tx, vapp, change);
    case "machine.resized": {
      const machine = await machineByName(tx, vapp.id, change.machine);
      if (machine === undefined) return;
      const { size, vcpus, memoryMiB, storageMiB, volumes } = change;
      const spec = { ...(machine.spec as unknown as DesiredMachine), size, vcpus, memoryMiB, storageMiB, volumes };
      await machineUpdate(tx, machine.id, { spec: JSON.stringify(spec) });
      const resized = { ...machine, spec: spec as unknown as MachineRow["spec"] };
      const state = machine.state === "running" && machine.desired === "running" ? "running" : "stopped";
      await ledgerAppend(tx, machineLedger(vapp, resized, state, ctx.source));
      return;
    }
    case "exposure.realised": {
      const exposure = (await exposureList(tx, [vapp.id])).find(({ name }) => name === change.exposure);
      if (exposure === undefined) return;
      await exposureUpdate(tx, exposure.id, { state: "realised", address: change.address, port: change.port });
      await ledgerAppend(tx, exposureLedger(vapp, exposure, "running", ctx.source));
      return;
    }
    case "exposure.removed": {
      const exposure = (await exposureList(tx, [vapp.id])).find(({ name }) => name === change.exposure);
      if (exposure === undefined) return;
      await ledgerAppend(tx, exposureLedger(vapp, exposure, "released", ctx.source));
      await exposureUpdate(tx, exposure.id, { state: "removed" });
      return;
    }
    default:
      throw new AppError("internal", "unknown change", { internal: JSON.stringify(change satisfies never) });
  }
}

async function machineObserved(ctx: ChangeContext, tx: Tx, vapp: VappRow, change: Change & { type: "machine.observed" }): Promise<void> {
  const machine = await machineByName(tx, vapp.id, change.machine);
  if (machine === undefined) return;
  // The machine before its facts, as samplers lock them.
  await machineInState(ctx, tx, vapp, machine, change.power);
  await machineDrifted(ctx, tx, vapp, machine, change.drift);
  await factPutMany(
    tx,
    change.facts.map((fact) => ({ subjectId: machine.id, fact })),
    new Date(ctx.clock.now()),
  );
}

/** A snapshot that lacks a machine cannot bring the vApp back, and says so instead of failing half-way. */
async function machineForgotSnapshots(
  ctx: ChangeContext,
  tx: Tx,
  vapp: VappRow,
  { machine, snapshots }: Change & { type: "machine.forgotSnapshots" },
): Promise<void> {
  for (const row of await snapshotList(tx, [vapp.id])) {
    const machines = row.machines as unknown as string[];
    if (!snapshots.includes(row.name) || !machines.includes(machine)) continue;
    await snapshotUpdate(tx, row.id, { machines: JSON.stringify(machines.filter((name) => name !== machine)) });
    await eventInsert(tx, {
      id: newId("snapshot", ctx.clock),
      organizationId: vapp.organization_id,
      vappId: vapp.id,
      type: "snapshot.incomplete",
      subject: formatId("snapshot", row.id),
      data: { snapshot: row.name, machine, reason: "the machine was made anew", source: ctx.source },
    });
  }
}

/** A machine is now seen in this state. Does nothing when that is what was known. */
export async function machineInState(
  ctx: ChangeContext,
  tx: Tx,
  vapp: VappRow,
  machine: MachineRow,
  state: MachineRow["state"],
): Promise<void> {
  if (machine.state === state) return;
  await machineUpdate(tx, machine.id, {
    state,
    state_at: databaseTime as never,
    ...(state === "running" ? {} : { healthy_at: null, unhealthy_since: null }),
  });
  if (state === "running" && machine.desired === "running") await ledgerAppend(tx, machineLedger(vapp, machine, "running", ctx.source));
  if (state === "stopped" || state === "crashed" || state === "missing")
    await ledgerAppend(tx, machineLedger(vapp, machine, "stopped", ctx.source));
  await eventInsert(tx, {
    id: newId("machine", ctx.clock),
    organizationId: vapp.organization_id,
    vappId: vapp.id,
    type: `machine.${state}`,
    subject: formatId("machine", machine.id),
    data: { machine: machine.name, from: machine.state, to: state, desired: machine.desired, source: ctx.source },
  });
}

/** The machine differs from its specification like this, or no longer. Does nothing when that is known. */
export async function machineDrifted(
  ctx: ChangeContext,
  tx: Tx,
  vapp: VappRow,
  machine: MachineRow,
  drift: readonly Drift[],
): Promise<void> {
  const before = canonicalJson(machine.drift ?? []);
  if (canonicalJson(drift) === before) return;
  await machineUpdate(tx, machine.id, { drift: drift.length === 0 ? null : JSON.stringify(drift) });
  await eventInsert(tx, {
    id: newId("machine", ctx.clock),
    organizationId: vapp.organization_id,
    vappId: vapp.id,
    type: drift.length === 0 ? "machine.conforming" : "machine.drifted",
    subject: formatId("machine", machine.id),
    data: { machine: machine.name, drift: drift as unknown as Json, source: ctx.source },
  });
}

/** Gone from its endpoint: addresses are free again, charging ends for good, the row stays as history. */
export async function machineRemoved(ctx: ChangeContext, tx: Tx, vapp: VappRow, name: string): Promise<void> {
  const machine = await machineByName(tx, vapp.id, name);
  if (machine === undefined) return;
  await ledgerAppend(tx, machineLedger(vapp, machine, "released", ctx.source));
  await addressesRelease(tx, machine.id);
  await factDelete(tx, machine.id);
  await machineUpdate(tx, machine.id, { state: "deleted", desired: "deleted", healthy_at: null, unhealthy_since: null, drift: null });
}
