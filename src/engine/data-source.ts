/**
 * Our DBOS data source: one checkpointed action = look up the checkpoint, prepare outside any transaction, then commit domain rows, journal
 * and checkpoint in ONE transaction. DBOS's published data-source packages run the whole action inside the transaction, which would
 * hold a connection during every call to an endpoint.
 *
 * Infrastructure errors never become the outcome of an action (measured: without the retry here, losing the database connection was
 * recorded as the step's result in 10 of 31 runs).
 */
import { DBOS } from "@dbos-inc/dbos-sdk";
import {
  assertStillOwnsWorkflow,
  DBOSStepAlreadyRecordedError,
  type DataSourceTransactionHandler,
  migrateDataSourcePG,
  registerDataSource,
  replayRecordedStep,
  runTransaction,
} from "@dbos-inc/dbos-sdk/datasource";
import { sql } from "kysely";
import type { Clock, Log } from "#domain/context.ts";
import { assert } from "#domain/error.ts";
import type { Json } from "#domain/json.ts";
import { isSabotaged } from "#engine/fault.ts";
import { dataSourceName } from "#engine/protocol.ts";
import { type Database, retryDatabase, type Tx } from "#store/database.ts";

/** An action of a workflow that happens exactly once in the database. */
export interface CheckpointedAction<Prepared, Output extends Json> {
  /** Outside any transaction; again after a crash. */
  prepare(): Promise<Prepared>;
  /** Inside the transaction that also records the checkpoint; rolled back and repeated on infrastructure errors. */
  commit(tx: Tx, prepared: Prepared): Promise<Output>;
  /** Wraps all attempts to commit: the place to serialise them. */
  around?(commit: () => Promise<Output>): Promise<Output>;
  /** Called when everything is written and nothing is committed: the place for a fault point. */
  beforeCommit?(): void;
}

/** Thrown by `commit` to roll back and be called again at once, because what it is to write has changed. */
export class CommitAgain extends Error {}
/** Thrown by `commit` when it cannot succeed now and nothing else may happen instead: rolled back and repeated after a pause. */
export class CommitLater extends Error {}
const commitLaterPauseMs = 5_000;

export interface DataSourceHost {
  readonly database: Database;
  readonly clock: Clock;
  readonly log: Log;
  /** Aborts when the engine closes or is fenced: unfinished work then stays unfinished, for whoever takes over. */
  readonly stopping: AbortSignal;
}

/** DBOS is one per process and wants its data source before launch, so the host is set later, by the engine that starts. */
let host: DataSourceHost | undefined;

export function setDataSourceHost(next: DataSourceHost | undefined): void {
  host = next;
}

function currentHost(): DataSourceHost {
  assert(host !== undefined, "the engine is started");
  return host;
}

const handler: DataSourceTransactionHandler = {
  name: dataSourceName,
  async initialize() {
    const { database } = currentHost();
    await database.transaction().execute(async (tx) => {
      await migrateDataSourcePG(async (text) => (await sql.raw<Record<string, unknown>>(text).execute(tx)).rows);
    });
  },
  async destroy() {}, // The database is the caller's.
  async deleteCheckpoints(workflowId, startStep, beforeCommit) {
    await retryDatabase(currentHost(), () =>
      currentHost()
        .database.transaction()
        .execute(async (tx) => {
          await sql`delete from dbos.transaction_completion where workflow_id = ${workflowId} and function_num >= ${startStep}`.execute(tx);
          await beforeCommit?.();
        }),
    );
  },
  // The callback is `invoke` below, which opens its own transaction once everything outside is prepared.
  async invokeTransactionFunction(_config, target, callback, ...args) {
    return await callback.call(target, ...args);
  },
};
registerDataSource(handler);

/** Runs the action as the next function of the current workflow. The number is taken synchronously: call order decides it. */
export function checkpointed<Prepared, Output extends Json>(name: string, action: CheckpointedAction<Prepared, Output>): Promise<Output> {
  return runTransaction<Output>(() => invoke(action), name, { dsName: dataSourceName });
}

async function invoke<Prepared, Output extends Json>(action: CheckpointedAction<Prepared, Output>): Promise<Output> {
  const here = currentHost();
  const workflowId = DBOS.workflowID;
  const step = DBOS.stepID;
  assert(workflowId !== undefined && step !== undefined, "checkpointed actions run inside a workflow");
  const before = await unlessStopping(here, () => lookUp(here.database, workflowId, step));
  if (before !== undefined) return replayRecordedStep<Output>(before);
  const prepared = await action.prepare();
  let attempt = 0;
  const commit = () =>
    commitUntilDone(here, () => {
      attempt += 1;
      return commitOnce(here.database, workflowId, step, action, prepared, attempt > 1);
    });
  return action.around === undefined ? await commit() : await action.around(commit);
}

async function commitUntilDone<Output>(here: DataSourceHost, commit: () => Promise<Output>): Promise<Output> {
  for (;;) {
    try {
      return await unlessStopping(here, commit);
    } catch (error) {
      // The rollback undid everything; the next attempt finds the other execution's record, or writes the changed outcome.
      if (error instanceof CommitAgain || error instanceof DBOSStepAlreadyRecordedError) continue;
      if (!(error instanceof CommitLater)) throw error;
      await here.clock.sleep(commitLaterPauseMs, here.stopping).catch(() => {});
    }
  }
}

/**
 * Waits out infrastructure trouble. When the engine stops meanwhile it never resolves: any error would be recorded by DBOS as the outcome,
 * while a promise that stays open leaves the workflow pending for whoever takes it over.
 */
async function unlessStopping<T>(here: DataSourceHost, attempt: () => Promise<T>): Promise<T> {
  try {
    return await retryDatabase({ ...here, signal: here.stopping }, attempt);
  } catch (error) {
    if (here.stopping.aborted) return await new Promise<never>(() => {});
    throw error;
  }
}

interface RecordedStep {
  readonly output: string | null;
  readonly error: string | null;
}

async function lookUp(database: Database | Tx, workflowId: string, step: number): Promise<RecordedStep | undefined> {
  const found = sql<RecordedStep>`select output, error from dbos.transaction_completion where workflow_id = ${workflowId} and function_num = ${step}`;
  return (await found.execute(database)).rows[0];
}

/** One attempt. A connection lost during COMMIT leaves open whether it happened: the look-up at the start of the next attempt tells. */
async function commitOnce<Prepared, Output extends Json>(
  database: Database,
  workflowId: string,
  step: number,
  action: CheckpointedAction<Prepared, Output>,
  prepared: Prepared,
  mayBeCommitted: boolean,
): Promise<Output> {
  return await database.transaction().execute(async (tx) => {
    const recorded = mayBeCommitted ? await lookUp(tx, workflowId, step) : undefined;
    if (recorded !== undefined) return replayRecordedStep<Output>(recorded);
    const output = await action.commit(tx, prepared);
    await record(isSabotaged("checkpoint-outside") ? database : tx, workflowId, step, output);
    await assertStillOwnsWorkflow(workflowId);
    action.beforeCommit?.();
    return output;
  });
}

async function record(database: Database | Tx, workflowId: string, step: number, output: Json): Promise<void> {
  const inserted = await sql`
    insert into dbos.transaction_completion (workflow_id, function_num, output)
    values (${workflowId}, ${step}, ${JSON.stringify({ json: output })}) on conflict do nothing`.execute(database);
  if (inserted.numAffectedRows !== 1n) throw new DBOSStepAlreadyRecordedError(workflowId, step);
}
