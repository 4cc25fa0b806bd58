/**
 * What the engine asks of the application: the executor of each step, what a settled step writes, and how a run ends. The only
 * bridge between durable runs and vApps.
 */
import type { Change } from "#domain/change.ts";
import type { Clock } from "#domain/context.ts";
import { AppError, assert } from "#domain/error.ts";
import { formatId } from "#domain/id.ts";
import type { RunStep, RunWork, StepContext as EngineStepContext, StepSettlement } from "#engine/contract.ts";
import type { StepContext } from "#process/contract.ts";
import { applyChange } from "#app/changes.ts";
import type { Platform } from "#app/context.ts";
import { newId } from "#app/new-id.ts";
import { finishRun } from "#app/run-finish.ts";
import { stepKinds, type AnyStepKind } from "#app/steps/kinds.ts";
import { machineRef, theMachine } from "#app/steps/realised.ts";
import type { Database, Tx } from "#store/database.ts";
import { eventInsert } from "#store/event.ts";
import { orderByRun } from "#store/order.ts";
import { vappLock, type VappRow } from "#store/vapp.ts";

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
    woken: ctx.woken,
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
