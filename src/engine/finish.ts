/** The end of a run: its row and the domain's own end, in one transaction. */
import type { RunOutcome, StepError } from "#domain/saga.ts";
import { CommitLater } from "#engine/data-source.ts";
import { lockRun } from "#engine/journal.ts";
import type { StepHost } from "#engine/step.ts";
import { isTransientDatabaseError, retryDatabase, type Tx } from "#store/database.ts";

/** Inside the transaction that also holds the last checkpoint. */
export async function finishRun(tx: Tx, host: StepHost, runId: string, outcome: RunOutcome, error?: StepError): Promise<void> {
  await tx
    .updateTable("run")
    .set((eb) => ({
      state: outcome,
      owner_process: null,
      finished_at: eb.fn<Date>("now"),
      ...(error === undefined ? {} : { error: JSON.stringify(error) }),
    }))
    .where("id", "=", runId)
    .execute();
  await tx.deleteFrom("run_wait").where("run_id", "=", runId).execute();
  try {
    await host.work.finish(tx, runId, outcome);
  } catch (cause) {
    if (isTransientDatabaseError(cause)) throw cause;
    // The run is over and nobody else can release what it holds: repeating until a person has repaired the cause loses nothing.
    host.log.error({ runId, outcome, error: cause instanceof Error ? cause.stack : String(cause) }, "the end of a run cannot be applied");
    throw new CommitLater("finish failed", { cause });
  }
}

/** For defects of our own: the run ends visibly as failed instead of hanging. Does nothing when it has ended already. */
export async function giveUpRun(host: StepHost, runId: string): Promise<void> {
  const error: StepError = { code: "internal", message: "The run was given up because of an internal error" };
  await retryDatabase({ ...host, signal: host.stopping }, () =>
    host.database.transaction().execute(async (tx) => {
      const run = await lockRun(tx, runId);
      if (run === undefined || !["queued", "running", "waiting"].includes(run.state)) return;
      await finishRun(tx, host, runId, "failed", error);
    }),
  );
}
