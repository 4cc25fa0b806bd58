/** What a step leaves in the database: its row, its journal entry, its wait. */
import type { SagaPhase } from "#domain/saga.ts";
import type { StepSettlement } from "#engine/contract.ts";
import type { NewEntry } from "#engine/journal.ts";
import type { StepCall, StepHost } from "#engine/step.ts";
import { retryDatabase, type Tx } from "#store/database.ts";
import type { RunStepState } from "#store/schema-engine.ts";

/** Progress for people; not part of the journal, so losing it does no harm. */
export async function markAttempt(host: StepHost, call: StepCall): Promise<void> {
  await retryDatabase({ ...host, signal: host.stopping }, () =>
    host.database
      .updateTable("run_step")
      .set((eb) => ({
        state: call.phase === "do" ? ("running" as const) : ("undoing" as const),
        attempts: eb("attempts", "+", 1),
        started_at: eb.fn.coalesce("started_at", eb.fn<Date>("now")),
      }))
      .where("run_id", "=", call.runId)
      .where("step_id", "=", call.step.id)
      .execute(),
  );
}

const stateAfter: Record<SagaPhase, Record<StepSettlement["outcome"], RunStepState>> = {
  do: { ok: "ok", failed: "failed", wait: "waiting" },
  undo: { ok: "undone", failed: "undo_failed", wait: "undo_failed" },
};

export async function writeStep(tx: Tx, runId: string, stepId: string, phase: SagaPhase, settlement: StepSettlement): Promise<void> {
  const state = stateAfter[phase][settlement.outcome];
  const error =
    settlement.outcome === "failed" ? JSON.stringify({ code: settlement.error.code, message: settlement.error.message }) : undefined;
  const output = settlement.outcome === "ok" && phase === "do" ? JSON.stringify(settlement.output) : undefined;
  await tx
    .updateTable("run_step")
    .set((eb) => ({
      state,
      ...(settlement.outcome === "wait" ? {} : { finished_at: eb.fn<Date>("now") }),
      ...(error === undefined ? {} : { error }),
      ...(output === undefined ? {} : { output }),
    }))
    .where("run_id", "=", runId)
    .where("step_id", "=", stepId)
    .execute();
  if (settlement.outcome !== "wait") return;
  const { until, event, reason } = settlement.condition;
  const times = until === undefined ? {} : { until: new Date(until) };
  await tx
    .insertInto("run_wait")
    .values({ run_id: runId, step_id: stepId, event: event ?? null, reason, ...times })
    .execute();
}

export function entryOf(stepId: string, phase: SagaPhase, settlement: StepSettlement): NewEntry {
  switch (settlement.outcome) {
    case "ok":
      return { type: "step", stepId, phase, outcome: "ok", output: settlement.output };
    case "failed":
      return { type: "step", stepId, phase, outcome: "failed", error: { code: settlement.error.code, message: settlement.error.message } };
    case "wait":
      return { type: "wait", stepId, condition: settlement.condition };
  }
}
