/** Runs as people see them: every step with its state, and cancelling. */
import { AppError } from "#domain/error.ts";
import { formatId, parseId } from "#domain/id.ts";
import type { DecisionRequest, RunView } from "#domain/order.ts";
import { requestCancel, wakeEvent } from "#engine/run.ts";
import type { AppContext } from "#app/context.ts";
import { noSuch, projectResource } from "#app/resource.ts";
import { decisionEvent } from "#app/steps/recovery.ts";
import { auditOf, useCase, write } from "#app/use-case.ts";
import { auditInsert } from "#store/audit.ts";
import { decisionInsert, decisionList, waitList } from "#store/decision.ts";
import { orderByRun, runById, runSteps } from "#store/order.ts";

export const showRun = useCase(
  { action: "run.read", resource: async (ctx, id: string) => projectResource((await theRun(ctx, id)).order) },
  async (ctx, id): Promise<RunView> => view(ctx, id),
);

/** Asks the run to stop and undo what it did. `conflict` when it has ended. */
export const cancelRun = useCase(
  { action: "run.cancel", resource: async (ctx, id: string) => projectResource((await theRun(ctx, id)).order) },
  async (ctx, id): Promise<RunView> => {
    const { run } = await theRun(ctx, id);
    const asked = await write(ctx, async (tx) => {
      await auditInsert(tx, auditOf(ctx, { run: id }));
      return requestCancel(tx, run.id);
    });
    if (!asked) {
      throw new AppError("conflict", "the run has already ended", {
        detail: [
          {
            constraint: "only a run that has not ended can be cancelled",
            source: `run ${id} is ${run.state}`,
            nearest: "order the opposite change",
          },
        ],
      });
    }
    return view(ctx, id);
  },
);

/**
 * Decides for a step that waits for a person, once and on record. `conflict` when no step waits: also for the moment in which a waiting
 * step looks again by itself, so it may be repeated.
 */
export const decideRun = useCase(
  {
    action: "run.decide",
    resource: async (ctx, { run }: DecisionRequest & { readonly run: string }) => projectResource((await theRun(ctx, run)).order),
  },
  async (ctx, { run: id, ...request }): Promise<RunView> => {
    const { run } = await theRun(ctx, id);
    const waits = (await waitList(ctx.platform.database, run.id)).filter(({ event }) => event?.startsWith("decision:"));
    const names = waits.map(({ step_id }) => step_id);
    const step = request.step ?? (names.length === 1 ? names[0] : undefined);
    const wait = waits.find(({ step_id }) => step_id === step);
    if (wait === undefined) throw noWait(id, names);
    await write(ctx, async (tx) => {
      const row = {
        run_id: run.id,
        step_id: wait.step_id,
        principal_id: ctx.actor.principalId,
        decision: request.decision,
        reason: request.reason,
      };
      const payload = { decision: request.decision, by: ctx.actor.name, reason: request.reason };
      if (!(await wakeEvent(tx, decisionEvent(run.id, wait.step_id), payload))) throw noWait(id, names);
      if (!(await decisionInsert(tx, row))) throw noWait(id, []);
      await auditInsert(tx, auditOf(ctx, { run: id, step: wait.step_id, decision: request.decision, reason: request.reason }));
    });
    return view(ctx, id);
  },
);

function noWait(id: string, waiting: readonly string[]): AppError {
  return new AppError("conflict", "no step waits for this decision now", {
    detail: [
      {
        constraint: "a decision is for a step that waits for a person, and is made once",
        source: `run ${id}`,
        nearest:
          waiting.length > 0
            ? `name one of: ${waiting.join(", ")}`
            : `look at it: strat run show ${id}; a step that looks again by itself waits again in seconds`,
      },
    ],
  });
}

async function theRun(ctx: AppContext, id: string) {
  const runId = parseId("run", id);
  const order = await orderByRun(ctx.platform.database, runId);
  const run = await runById(ctx.platform.database, runId);
  if (run === undefined || order === undefined || order.organization_id !== ctx.actor.organizationId) {
    throw noSuch("run", id);
  }
  return { run, order };
}

async function view(ctx: AppContext, id: string): Promise<RunView> {
  const { run, order } = await theRun(ctx, id);
  const steps = await runSteps(ctx.platform.database, run.id);
  const waits = new Map((await waitList(ctx.platform.database, run.id)).map(({ step_id, reason }) => [step_id, reason]));
  const decisions = new Map((await decisionList(ctx.platform.database, run.id)).map((row) => [row.step_id, row]));
  const decisionOf = (stepId: string) => {
    const row = decisions.get(stepId);
    if (row === undefined) return null;
    return { decision: row.decision, principal: row.principal_name, reason: row.reason, at: row.at.toISOString() };
  };
  return {
    id: formatId("run", run.id),
    order: formatId("order", order.id),
    vapp: formatId("vapp", order.vapp_id),
    action: order.action,
    state: run.state,
    createdAt: run.created_at.toISOString(),
    finishedAt: run.finished_at?.toISOString() ?? null,
    steps: steps.map((step) => ({
      id: step.step_id,
      kind: step.kind,
      title: step.title,
      after: step.after,
      state: step.state,
      attempts: step.attempts,
      startedAt: step.started_at?.toISOString() ?? null,
      finishedAt: step.finished_at?.toISOString() ?? null,
      error: step.error === null ? null : { code: step.error.code, message: step.error.message },
      waiting: waits.get(step.step_id) ?? null,
      decision: decisionOf(step.step_id),
    })),
  };
}
