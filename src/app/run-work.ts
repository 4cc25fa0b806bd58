/**
 * What the engine asks of the application: the executor of each step, what a settled step writes, and how a run ends. The only
 * bridge between durable runs and vApps.
 */
import type { Change } from "#domain/change.ts";
import type { Clock } from "#domain/context.ts";
import { AppError, assert } from "#domain/error.ts";
import { formatId } from "#domain/id.ts";
import type { DesiredMachine } from "#domain/plan.ts";
import { release } from "#domain/quota.ts";
import type { RunOutcome } from "#domain/saga.ts";
import type { RunStep, RunWork, StepContext as EngineStepContext, StepSettlement } from "#engine/contract.ts";
import type { StepContext } from "#process/contract.ts";
import { applyChange, machineRemoved } from "#app/changes.ts";
import type { Platform } from "#app/context.ts";
import { exposureLedger, machineLedger } from "#app/charge.ts";
import { newId } from "#app/new-id.ts";
import { quotaOf } from "#app/plan.ts";
import { stepKinds, type AnyStepKind } from "#app/steps/kinds.ts";
import { machineRef, theMachine } from "#app/steps/realised.ts";
import type { Database, Tx } from "#store/database.ts";
import { eventInsert } from "#store/event.ts";
import { ledgerAppend } from "#store/ledger.ts";
import { orderByRun, orderFinish } from "#store/order.ts";
import { quotaLock, quotaWrite } from "#store/quota.ts";
import {
  databaseTime,
  exposureList,
  exposureUpdate,
  machineList,
  machineUpdate,
  secretsDelete,
  segmentList,
  segmentUpdate,
  vappLock,
  vappUpdate,
  type VappRow,
} from "#store/vapp.ts";

export function runWork(platform: Platform, clock: Clock): RunWork {
  const kinds = stepKinds(platform);
  const kindOf = (step: RunStep): AnyStepKind => {
    const kind = kinds.get(step.kind);
    if (kind === undefined) throw new AppError("internal", "this control plane does not know a kind of step", { internal: step.kind });
    return kind;
  };
  const vappIds = new RunSubjects();
  return {
    limits(step) {
      const { attemptTimeoutMs, deadlineMs } = kindOf(step);
      return { attemptTimeoutMs, deadlineMs };
    },
    async perform(ctx, phase) {
      const kind = kindOf(ctx.step);
      const input = kind.input.parse(ctx.step.input);
      const own = stepContext(platform, ctx, await vappIds.vappOf(platform.database, ctx.runId));
      if (phase === "do") return kind.do(own, input);
      assert(typeof kind.undo === "function", `${kind.kind} can be undone`);
      return kind.undo(own, input);
    },
    async apply(tx, runId, step, phase, settlement) {
      const vapp = await vappLock(tx, await vappIds.vappOf(tx, runId));
      assert(vapp !== undefined, "a run's vApp exists");
      await applySettlement({ clock, source: formatId("run", runId) }, tx, vapp, runId, step, phase, settlement);
    },
    finish: (tx, runId, outcome) => finishRun({ clock, source: formatId("run", runId) }, tx, runId, outcome),
  };
}

/** vApp of each run, looked up once: it never changes. */
class RunSubjects {
  readonly #known = new Map<string, string>();
  async vappOf(db: Database, runId: string): Promise<string> {
    const known = this.#known.get(runId);
    if (known !== undefined) return known;
    const order = await orderByRun(db, runId);
    assert(order !== undefined, "a run has its order");
    if (this.#known.size > 10_000) this.#known.clear();
    this.#known.set(runId, order.vapp_id);
    return order.vapp_id;
  }
}

function stepContext(platform: Platform, ctx: EngineStepContext, vappId: string): StepContext {
  return {
    signal: ctx.signal,
    log: ctx.log,
    clock: ctx.clock,
    runId: ctx.runId,
    vappId,
    stepId: ctx.stepId,
    attempt: ctx.attempt,
    output: (stepId) => ctx.outputs(stepId),
    async channel(machine, command) {
      const row = await theMachine(platform, vappId, machine);
      const provider = await platform.endpoints.provider(row.endpoint_id);
      return provider.channelRun(ctx, machineRef(platform, row), command);
    },
  };
}

interface Source {
  readonly clock: Clock;
  readonly source: string;
}

async function applySettlement(
  ctx: Source,
  tx: Tx,
  vapp: VappRow,
  runId: string,
  step: RunStep,
  phase: "do" | "undo",
  settlement: StepSettlement,
): Promise<void> {
  if (settlement.outcome !== "failed") {
    for (const change of (settlement.changes as readonly Change[] | undefined) ?? []) await applyChange(ctx, tx, vapp, change);
  }
  await eventInsert(tx, {
    id: newId("run", ctx.clock),
    organizationId: vapp.organization_id,
    vappId: vapp.id,
    type: `step.${settlement.outcome === "ok" ? (phase === "do" ? "succeeded" : "undone") : settlement.outcome === "wait" ? "waiting" : "failed"}`,
    subject: formatId("run", runId),
    data: {
      step: step.id,
      title: step.title,
      ...(settlement.outcome === "failed" ? { code: settlement.error.code, message: settlement.error.message } : {}),
    },
  });
}

/** The end of a run: order and vApp settle; what a compensated deployment or a finished delete leaves is released. */
async function finishRun(ctx: Source, tx: Tx, runId: string, outcome: RunOutcome): Promise<void> {
  const order = await orderFinish(tx, runId, outcome);
  assert(order !== undefined, "a run has its order");
  const vapp = await vappLock(tx, order.vapp_id);
  assert(vapp !== undefined, "an order has its vApp");
  // A delete took the vApp over while this run was being undone: what is left is the delete's.
  if (vapp.run_id === runId) {
    if (goneAfter(vapp, outcome)) await releaseVapp(ctx, tx, vapp);
    else await settleVapp(ctx, tx, vapp, outcome);
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

function goneAfter(vapp: VappRow, outcome: RunOutcome): boolean {
  if (vapp.desired === "deleted") return outcome === "succeeded";
  return vapp.state === "provisioning" && outcome === "compensated";
}

async function settleVapp(ctx: Source, tx: Tx, vapp: VappRow, outcome: RunOutcome): Promise<void> {
  const machines = await machineList(tx, [vapp.id]);
  if (outcome === "failed") {
    // A deployment that could not be undone is not to be repaired: what is left of it is to go.
    const desired = vapp.state === "provisioning" ? "deleted" : vapp.desired;
    if (desired === "deleted") {
      // Nobody ordered what is left, so nobody pays for its running.
      for (const machine of machines) {
        await machineUpdate(tx, machine.id, { desired });
        await ledgerAppend(tx, machineLedger(vapp, machine, "stopped", ctx.source));
      }
    }
    return void (await vappUpdate(tx, vapp.id, { run_id: null, state: "failed", desired }));
  }
  const running = machines.every((machine) => machine.state === "running");
  const stopped = machines.every((machine) => machine.state === "stopped");
  // A compensated start or stop leaves the vApp as it was before; that is what is wanted again.
  const desired = outcome === "compensated" ? (stopped ? "stopped" : "running") : vapp.desired;
  for (const machine of machines) {
    if (machine.desired === desired) continue;
    await machineUpdate(tx, machine.id, { desired });
    // Charging ended when the stop was accepted; a machine that runs on after all is charged again.
    if (desired === "running" && machine.state === "running") await ledgerAppend(tx, machineLedger(vapp, machine, "running", ctx.source));
  }
  const state = desired === "stopped" ? "stopped" : running ? "active" : "degraded";
  await vappUpdate(tx, vapp.id, { run_id: null, desired, state });
}

/** Nothing of the vApp exists any more: rows become history, quota and names are free again. */
async function releaseVapp(ctx: Source, tx: Tx, vapp: VappRow): Promise<void> {
  const machines = await machineList(tx, [vapp.id]);
  const segments = await segmentList(tx, [vapp.id]);
  const exposures = await exposureList(tx, [vapp.id]);
  const now = databaseTime as never;
  for (const exposure of exposures) {
    await ledgerAppend(tx, exposureLedger(vapp, exposure, "released", ctx.source));
    await exposureUpdate(tx, exposure.id, { state: "removed", released_at: now });
  }
  for (const machine of machines) {
    await machineRemoved(ctx, tx, vapp, machine.name);
    await machineUpdate(tx, machine.id, { released_at: now });
  }
  for (const segment of segments)
    await segmentUpdate(tx, segment.id, { state: "removed", prefix: null, gateway: null, attachment: null, released_at: now });
  await secretsDelete(tx, vapp.id);
  const taken = quotaOf({
    desired: "running",
    machines: machines.map(({ spec }) => spec as unknown as DesiredMachine),
    segments,
    exposures: exposures as never,
  });
  const balance = await quotaLock(tx, vapp.project_id);
  await quotaWrite(tx, vapp.project_id, balance, release(balance, taken));
  await vappUpdate(tx, vapp.id, { run_id: null, desired: "deleted", state: "deleted", deleted_at: now });
}
