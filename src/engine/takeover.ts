/**
 * Work of dead processes is put back into the queue. DBOS itself does not notice a dead executor; `resumeWorkflows` with the queue's name
 * keeps the workflow in our queue, and clears its owner token, so that a process that only seemed dead can commit nothing more.
 */
import { DBOS } from "@dbos-inc/dbos-sdk";
import { sql } from "kysely";
import type { Log } from "#domain/context.ts";
import type { Heartbeat } from "#engine/heartbeat.ts";
import { aliveProcesses, buryExpired } from "#engine/process.ts";
import { queueName, workflowName } from "#engine/protocol.ts";
import type { Database } from "#store/database.ts";

/** Any constant, the same in all our processes. */
const takeoverLock = 7_163_502;

export interface TakeoverOptions {
  readonly database: Database;
  readonly heartbeat: Heartbeat;
  readonly ttlMs: number;
  readonly log: Log;
}

/** Returns how many runs were taken over. */
export async function takeOver(options: TakeoverOptions): Promise<number> {
  // Who was cut off from the database itself gives the others the time to report back first.
  if (options.heartbeat.steadyMs() < options.ttlMs) return 0;
  const dead = await buryExpired(options.database, options.ttlMs);
  if (dead.length > 0) options.log.warn({ processes: dead }, "control-plane processes are dead, their runs are taken over");
  return await options.database.transaction().execute(async (tx) => {
    const lock = await sql<{ locked: boolean }>`select pg_try_advisory_xact_lock(${takeoverLock}) as locked`.execute(tx);
    if (lock.rows[0]?.locked !== true) return 0;
    const pending = await DBOS.listWorkflows({ status: "PENDING", workflowName, loadInput: false, loadOutput: false });
    if (pending.length === 0) return 0;
    const alive = await aliveProcesses(options.database);
    const orphans = pending.filter((workflow) => !alive.has(workflow.executorId ?? "")).map((workflow) => workflow.workflowID);
    if (orphans.length === 0) return 0;
    await DBOS.resumeWorkflows(orphans, { queueName });
    options.log.warn({ runs: orphans }, "runs of dead processes were put back into the queue");
    return orphans.length;
  });
}
