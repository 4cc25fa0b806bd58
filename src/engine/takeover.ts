/**
 * Work of dead processes is put back into the queue. DBOS itself does not notice a dead executor; `resumeWorkflows` with the queue's name
 * keeps the workflow in our queue, and clears its owner token, so that a process that only seemed dead can commit nothing more.
 */
import { DBOS } from "@dbos-inc/dbos-sdk";
import { sql } from "kysely";
import type { Log } from "#domain/context.ts";
import type { Heartbeat } from "#engine/heartbeat.ts";
import { aliveProcesses, buryExpired } from "#engine/process.ts";
import { queueName, runIdOf, workflowName } from "#engine/protocol.ts";
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

/** How long a run may look stray before it is put back: far longer than DBOS takes from its queue to our workflow function. */
const strayMs = 3_000;

export interface StrayOptions {
  readonly processId: string;
  /** Runs that execute in this process, from the first line of the workflow function to its end. */
  readonly running: ReadonlySet<string>;
  /** Since when each workflow has looked stray, on the monotonic clock. Kept between calls. */
  readonly suspects: Map<string, number>;
  readonly log: Log;
}

/**
 * Puts back what this living process owns on paper and does not execute: when the database dies while it answers DBOS's dequeue, the row
 * says PENDING for us and DBOS never heard of it. Putting back a run that does execute would be safe, since its owner token changes.
 */
export async function resumeStrays({ processId, running, suspects, log }: StrayOptions): Promise<number> {
  const pending = await DBOS.listWorkflows({ status: "PENDING", workflowName, executorId: processId, loadInput: false, loadOutput: false });
  const now = performance.now();
  const idle = new Set(pending.map(({ workflowID }) => workflowID).filter((id) => !running.has(runIdOf(id))));
  for (const id of suspects.keys()) if (!idle.has(id)) suspects.delete(id);
  for (const id of idle) if (!suspects.has(id)) suspects.set(id, now);
  const strays = [...suspects].filter(([, since]) => now - since >= strayMs).map(([id]) => id);
  if (strays.length === 0) return 0;
  for (const id of strays) suspects.delete(id);
  await DBOS.resumeWorkflows(strays, { queueName });
  log.warn({ runs: strays }, "runs that nobody executed were put back into the queue");
  return strays.length;
}
