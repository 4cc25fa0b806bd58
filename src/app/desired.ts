/**
 * Writes what an accepted order wants: desired state, external names and ownership marks (row ids), quota, secrets, and the ends of
 * charging that begin with acceptance. Part of the order's transaction.
 */
import { AppError } from "#domain/error.ts";
import type { RenderedVapp } from "#domain/blueprint-render.ts";
import { canonicalJson, type Json } from "#domain/json.ts";
import type { DesiredExposure, DesiredMachine, DesiredVapp } from "#domain/plan.ts";
import { quotaDimensions, reserve } from "#domain/quota.ts";
import { vappNamePattern } from "#domain/vapp.ts";
import type { DecidedContext } from "#app/context.ts";
import { machineLedger } from "#app/charge.ts";
import { newId } from "#app/new-id.ts";
import { quotaChange, type Planned } from "#app/plan.ts";
import { secretPlace } from "#app/secret-box.ts";
import { offeringByName } from "#store/catalogue.ts";
import type { Tx } from "#store/database.ts";
import { ledgerAppend } from "#store/ledger.ts";
import { quotaLock, quotaWrite } from "#store/quota.ts";
import { snapshotInsert, snapshotList, snapshotUpdate } from "#store/snapshot.ts";
import {
  exposureInsert,
  exposureList,
  machineInsert,
  machineList,
  machineUpdate,
  secretInsert,
  segmentInsert,
  segmentList,
  vappByName,
  vappInsert,
  vappUpdate,
  type MachineRow,
  type VappRow,
} from "#store/vapp.ts";

export async function acceptDesired(ctx: DecidedContext, tx: Tx, planned: Planned, runId: string): Promise<string> {
  const { desired } = planned.plan;
  await reserveQuota(tx, planned);
  const vappId = planned.vapp?.id ?? (await insertVapp(ctx, tx, planned, runId));
  if (desired === undefined) {
    await vappUpdate(tx, vappId, { run_id: runId, bump: true });
    return vappId;
  }
  const before = await machineList(tx, [vappId]);
  await insertMissing(ctx, tx, vappId, desired);
  if (planned.vapp !== null) await changeExisting(ctx, tx, planned.vapp, before, desired, runId);
  return vappId;
}

/** Growth is reserved here, what shrinks is released when the objects are gone. */
async function reserveQuota(tx: Tx, planned: Planned): Promise<void> {
  const { desired } = planned.plan;
  if (desired === undefined) return;
  const { before, after } = quotaChange(planned.facts.vapp, desired);
  const growth = Object.fromEntries(quotaDimensions.map((dimension) => [dimension, Math.max(0, after[dimension] - before[dimension])]));
  const balance = await quotaLock(tx, planned.projectId);
  const reservation = reserve(balance, growth, "quota of the project");
  if (!reservation.ok) throw new AppError("quota_exceeded", "the project's quota does not allow this", { detail: reservation.refusals });
  await quotaWrite(tx, planned.projectId, balance, reservation.balance);
}

async function insertVapp(ctx: DecidedContext, tx: Tx, planned: Planned, runId: string): Promise<string> {
  const input = planned.input as { offering: string; name?: string };
  const { desired } = planned.plan;
  if (desired === undefined || planned.facts.offering === null)
    throw new Error(`process ${planned.process.name} deploys without a desired state`);
  const name = input.name ?? planned.facts.offering.offering;
  if (!vappNamePattern.test(name)) throw new AppError("invalid_input", `"${name}" cannot name a vApp`);
  if ((await vappByName(tx, ctx.actor.organizationId, name)) !== undefined) {
    throw new AppError("conflict", `there is already a vApp "${name}"`, {
      detail: [{ constraint: "names of living vApps are unique in an organization", source: `vApp ${name}`, nearest: "give another name" }],
    });
  }
  const id = newId("vapp", ctx.clock);
  await vappInsert(tx, {
    id,
    organization_id: ctx.actor.organizationId,
    project_id: planned.projectId,
    site_id: desired.siteId,
    name,
    offering_id: (await offeringByName(tx, input.offering))!.id,
    parameters: JSON.stringify(desired.parameters),
    blueprint: JSON.stringify(desired.blueprint),
    desired: "running",
    state: "provisioning",
    run_id: runId,
  });
  for (const secret of desired.secrets) {
    const ciphertext = ctx.platform.secrets.seal(secretPlace(id, secret.name), ctx.platform.secrets.generate(secret.bytes));
    await secretInsert(tx, {
      id: newId("secret", ctx.clock),
      organization_id: ctx.actor.organizationId,
      vapp_id: id,
      name: secret.name,
      ciphertext,
    });
  }
  return id;
}

/** Rows for everything desired that has none yet. Names at endpoints are fixed here, before the first call. */
async function insertMissing(ctx: DecidedContext, tx: Tx, vappId: string, desired: DesiredVapp): Promise<void> {
  const organization_id = ctx.actor.organizationId;
  const segments = new Map((await segmentList(tx, [vappId])).map((row) => [row.name, row.id]));
  for (const { name, isolated } of desired.segments) {
    if (segments.has(name)) continue;
    const id = newId("segment", ctx.clock);
    await segmentInsert(tx, {
      id,
      organization_id,
      vapp_id: vappId,
      site_id: desired.siteId,
      name,
      external_name: `s${tail(id)}`,
      isolated,
      state: "planned",
    });
    segments.set(name, id);
  }
  const machines = new Map((await machineList(tx, [vappId])).map((row) => [row.name, row.id]));
  for (const machine of desired.machines) {
    if (machines.has(machine.name)) continue;
    machines.set(machine.name, await insertMachine(ctx, tx, vappId, machine));
  }
  const snapshots = new Set((await snapshotList(tx, [vappId])).map((row) => row.name));
  for (const { name } of desired.snapshots) {
    if (snapshots.has(name)) continue;
    const id = newId("snapshot", ctx.clock);
    await snapshotInsert(tx, {
      id,
      organization_id,
      vapp_id: vappId,
      name,
      external_name: `strat-${tail(id)}`,
      machines: JSON.stringify(desired.machines.map((machine) => machine.name)),
      state: "planned",
    });
  }
  const exposures = new Set((await exposureList(tx, [vappId])).map((row) => row.name));
  for (const exposure of desired.exposures) {
    if (!exposures.has(exposure.name)) await insertExposure(ctx, tx, vappId, desired, exposure, machines, segments);
  }
}

async function insertMachine(ctx: DecidedContext, tx: Tx, vappId: string, machine: DesiredMachine): Promise<string> {
  const id = newId("machine", ctx.clock);
  await machineInsert(tx, {
    id,
    organization_id: ctx.actor.organizationId,
    vapp_id: vappId,
    endpoint_id: machine.endpointId,
    name: machine.name,
    tier: machine.tier,
    ordinal: machine.ordinal,
    kind: machine.kind,
    image: machine.image,
    image_digest: machine.imageDigest,
    external_name: `s${tail(vappId)}-${machine.name}`,
    size: machine.size,
    vcpus: machine.vcpus,
    memory_mib: machine.memoryMiB,
    spec: JSON.stringify(machine),
    reason: machine.reason,
    desired: "running",
    state: "planned",
  });
  return id;
}

async function insertExposure(
  ctx: DecidedContext,
  tx: Tx,
  vappId: string,
  desired: DesiredVapp,
  exposure: DesiredExposure,
  machines: ReadonlyMap<string, string>,
  segments: ReadonlyMap<string, string>,
): Promise<void> {
  const id = newId("exposure", ctx.clock);
  await exposureInsert(tx, {
    id,
    organization_id: ctx.actor.organizationId,
    vapp_id: vappId,
    site_id: desired.siteId,
    machine_id: machines.get(exposure.machine)!,
    segment_id: segments.get(exposure.segment)!,
    name: exposure.name,
    external_name: `x${tail(id)}`,
    target_port: exposure.port,
    state: "planned",
  });
}

/** What the vApp was, kept while an order is in flight: a compensated run brings it back. */
export interface VappBefore {
  readonly desired: VappRow["desired"];
  readonly blueprint: RenderedVapp;
  readonly parameters: Json;
  readonly deleteAt: string | null;
  /** Names of the machines it was made of. */
  readonly machines: readonly string[];
}

/** Desired state of what is there; charging for running ends with the acceptance of a stop or a delete. */
async function changeExisting(
  ctx: DecidedContext,
  tx: Tx,
  vapp: VappRow,
  machines: readonly MachineRow[],
  desired: DesiredVapp,
  runId: string,
): Promise<void> {
  const before: VappBefore = {
    desired: vapp.desired,
    blueprint: vapp.blueprint as unknown as RenderedVapp,
    parameters: vapp.parameters,
    deleteAt: vapp.delete_at?.toISOString() ?? null,
    machines: machines.filter((row) => row.desired !== "deleted").map(({ name }) => name),
  };
  const { retainHours } = desired;
  await vappUpdate(tx, vapp.id, {
    desired: desired.desired,
    state: desired.desired === "deleted" ? "deleting" : "changing",
    run_id: runId,
    bump: true,
    before: JSON.stringify(before),
    blueprint: JSON.stringify(desired.blueprint),
    parameters: JSON.stringify(desired.parameters),
    ...(retainHours === undefined ? {} : { delete_at: retainHours === null ? null : new Date(ctx.clock.now() + retainHours * 3_600_000) }),
  });
  const kept = new Set(desired.snapshots.map(({ name }) => name));
  for (const snapshot of await snapshotList(tx, [vapp.id]))
    if (!kept.has(snapshot.name)) await snapshotUpdate(tx, snapshot.id, { state: "removed" });
  const wanted = new Map(desired.machines.map((machine) => [machine.name, machine]));
  for (const row of machines) {
    const spec = wanted.get(row.name);
    const state = desired.desired === "deleted" || spec === undefined ? "deleted" : desired.desired;
    await machineUpdate(tx, row.id, { desired: state, ...(spec === undefined ? {} : specChange(row, spec)) });
    if (state !== "running") await ledgerAppend(tx, machineLedger(vapp, row, "stopped", `order of ${ctx.actor.name}`));
    // One that a failed stop left running will not be observed to begin running.
    else if (row.state === "running") await ledgerAppend(tx, machineLedger(vapp, row, "running", `order of ${ctx.actor.name}`));
  }
}

/** A changed specification becomes true when a step has carried it out; until then the quota holds the larger of both. */
function specChange(row: MachineRow, wanted: DesiredMachine) {
  const spec = row.spec as unknown as DesiredMachine;
  // Rows of plans carry more than the specification; only what can change counts.
  const next: DesiredMachine = { ...spec, ...pick(wanted) };
  if (canonicalJson(next) === canonicalJson(spec)) return {};
  return {
    wanted: JSON.stringify(next),
    vcpus: Math.max(row.vcpus, next.vcpus),
    memory_mib: Math.max(row.memory_mib, next.memoryMiB),
  };
}

function pick({ size, vcpus, memoryMiB, storageMiB, volumes }: DesiredMachine) {
  return { size, vcpus, memoryMiB, storageMiB, volumes };
}

/** Last 12 hex digits of an id: random enough to be unique, short enough for an interface name. */
function tail(id: string): string {
  return id.replaceAll("-", "").slice(-12);
}
