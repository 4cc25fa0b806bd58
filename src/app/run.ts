/** Runs as people see them: every step with its state, and cancelling. */
import { AppError } from "#domain/error.ts";
import { formatId, parseId } from "#domain/id.ts";
import type { RunView } from "#domain/order.ts";
import { requestCancel } from "#engine/run.ts";
import type { AppContext } from "#app/context.ts";
import { noSuch, projectResource } from "#app/resource.ts";
import { auditOf, useCase, write } from "#app/use-case.ts";
import { auditInsert } from "#store/audit.ts";
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
    })),
  };
}
