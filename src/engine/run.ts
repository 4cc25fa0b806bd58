/**
 * Starting, cancelling and waking runs. Everything happens inside the caller's transaction, so an order and its run appear together or
 * not at all. None of this needs a started engine.
 */
import { sql } from "kysely";
import { assert } from "#domain/error.ts";
import type { Json } from "#domain/json.ts";
import { validateSaga } from "#domain/saga.ts";
import type { NewRun } from "#engine/contract.ts";
import { appendJournal, lockRun, type LockedRun } from "#engine/journal.ts";
import { engineProtocol, queueName, workflowIdOf, workflowName } from "#engine/protocol.ts";
import type { Tx } from "#store/database.ts";

/** Rows per INSERT, far below the 65,535 parameters of the wire protocol. */
const insertRows = 500;

/** Stores the run with its steps and enqueues it. Throws `invalid_input` when the steps are not a valid graph. */
export async function createRun(tx: Tx, run: NewRun): Promise<void> {
  validateSaga(run.steps);
  await tx.insertInto("run").values({ id: run.id, on_failure: run.onFailure, owner_process: null }).execute();
  const rows = run.steps.map((step, ordinal) => ({
    run_id: run.id,
    step_id: step.id,
    ordinal,
    kind: step.kind,
    title: step.title,
    input: JSON.stringify(step.input),
    after: [...step.after],
    undoable: step.undoable,
    final: step.final ?? false,
  }));
  for (let from = 0; from < rows.length; from += insertRows) {
    await tx
      .insertInto("run_step")
      .values(rows.slice(from, from + insertRows))
      .execute();
  }
  await enqueueSegment(tx, run.id, 1);
}

/** DBOS's own SQL function: the row appears when the caller's transaction commits. The input holds ids only, since DBOS stores it in clear. */
async function enqueueSegment(tx: Tx, runId: string, segment: number): Promise<void> {
  await sql`select dbos.enqueue_workflow(
    workflow_name => ${workflowName}, queue_name => ${queueName},
    positional_args => array[to_json(${runId}::text), to_json(${segment}::int)],
    workflow_id => ${workflowIdOf(runId, segment)}, app_version => ${engineProtocol})`.execute(tx);
}

/** Asks a run to stop and undo. False when it has already ended; repeated requests are one. */
export async function requestCancel(tx: Tx, runId: string): Promise<boolean> {
  const run = await lockRun(tx, runId);
  if (run === undefined || isEnded(run)) return false;
  if (run.cancelRequested) return true;
  await appendJournal(tx, runId, { type: "cancel" });
  await tx.updateTable("run").set({ cancel_requested: true }).where("id", "=", runId).execute();
  await tx.deleteFrom("run_wait").where("run_id", "=", runId).execute();
  await resume(tx, runId, run);
  return true;
}

/** Wakes one waiting step with a payload for its `perform`. False when the step is not waiting (already woken, cancelled, ended). */
export async function wake(tx: Tx, runId: string, stepId: string, payload: Json): Promise<boolean> {
  const run = await lockRun(tx, runId);
  if (run === undefined || isEnded(run)) return false;
  const waits = await tx.deleteFrom("run_wait").where("run_id", "=", runId).where("step_id", "=", stepId).executeTakeFirst();
  if (waits.numDeletedRows === 0n) return false;
  await appendJournal(tx, runId, { type: "wake", stepId, payload });
  await tx.updateTable("run_step").set({ state: "running" }).where("run_id", "=", runId).where("step_id", "=", stepId).execute();
  await resume(tx, runId, run);
  return true;
}

/** Wakes every step that waits for the event; returns how many. */
export async function wakeEvent(tx: Tx, event: string, payload: Json): Promise<number> {
  // In a fixed order, so that two events that wake the same runs cannot deadlock on the runs' rows.
  const waits = await tx
    .selectFrom("run_wait")
    .select(["run_id", "step_id"])
    .where("event", "=", event)
    .orderBy("run_id")
    .orderBy("step_id")
    .execute();
  let woken = 0;
  for (const wait of waits) if (await wake(tx, wait.run_id, wait.step_id, payload)) woken += 1;
  return woken;
}

function isEnded(run: LockedRun): boolean {
  return run.state !== "queued" && run.state !== "running" && run.state !== "waiting";
}

/** A suspended run continues in a new segment; a running one notices the new journal row by itself. */
async function resume(tx: Tx, runId: string, run: LockedRun): Promise<void> {
  if (run.state !== "waiting") return;
  const segment = run.segment + 1;
  const updated = await tx.updateTable("run").set({ segment, state: "queued" }).where("id", "=", runId).executeTakeFirst();
  assert(updated.numUpdatedRows === 1n, "a locked run does not vanish");
  await enqueueSegment(tx, runId, segment);
}
