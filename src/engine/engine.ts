/**
 * The durable engine: takes runs from the queue, drives them, takes over from dead processes, wakes timers. It knows no VMs. See
 * `contract.ts` for what it promises and `driver.ts` for why replay is exact.
 *
 * DBOS is a process-wide singleton, so there is at most one started engine in a process.
 */
import { randomUUID } from "node:crypto";
import { DBOS, DBOSWorkflowConflictError, Error as DbosErrors } from "@dbos-inc/dbos-sdk";
import { sql } from "kysely";
import { AppError, assert } from "#domain/error.ts";
import type { RunOutcome } from "#domain/saga.ts";
import type { Engine, EngineOptions } from "#engine/contract.ts";
import { setDataSourceHost } from "#engine/data-source.ts";
import { launchDbos } from "#engine/dbos.ts";
import { type DriverHost, RunDriver } from "#engine/driver.ts";
import { giveUpRun } from "#engine/finish.ts";
import { type Heartbeat, startHeartbeat } from "#engine/heartbeat.ts";
import { readRun } from "#engine/journal.ts";
import { type Leadership, startLeadership } from "#engine/leadership.ts";
import { buryPredecessors, markStopped, registerProcess, thisProcess } from "#engine/process.ts";
import { workflowName } from "#engine/protocol.ts";
import { wake } from "#engine/run.ts";
import { resumeStrays, takeOver } from "#engine/takeover.ts";
import { retryDatabase } from "#store/database.ts";

export const engineDefaults = { heartbeatTtlMs: 15_000, runConcurrency: 32, queuePollMs: 100, watchMs: 250 } as const;

/** Share of the heartbeat's life that an attempt may take. */
const attemptShare = 0.6;
const takeoversPerLife = 6;
const closeTimeoutMs = 10_000;
const timersPerRound = 100;
const fencedExitCode = 70;

interface Started {
  readonly host: DriverHost;
  readonly drivers: Map<string, RunDriver>;
  /** Runs whose workflow function is under way; one appears here before it has a driver. */
  readonly running: Set<string>;
}
let started: Started | undefined;

DBOS.registerWorkflow(runWorkflow, { name: workflowName, maxRecoveryAttempts: 1_000 });

async function runWorkflow(runId: string): Promise<string> {
  const here = started;
  if (here === undefined || here.host.stopping.aborted || here.host.draining.aborted) return await new Promise<never>(() => {});
  here.running.add(runId);
  let driver: RunDriver | undefined;
  try {
    const run = await retryDatabase({ ...here.host, signal: here.host.stopping }, () => readRun(here.host.database, runId));
    assert(run !== undefined, "a run that is enqueued exists");
    driver = new RunDriver(here.host, run);
    here.drivers.set(runId, driver);
    return await driver.drive();
  } catch (error) {
    // These two belong to DBOS: the workflow is somebody else's now.
    if (error instanceof DBOSWorkflowConflictError || error instanceof DbosErrors.DBOSWorkflowCancelledError) throw error;
    if (here.host.stopping.aborted) return await new Promise<never>(() => {});
    here.host.log.error({ runId, error: error instanceof Error ? error.stack : String(error) }, "a run was given up because of a defect");
    await giveUpRun(here.host, runId);
    throw error;
  } finally {
    if (here.drivers.get(runId) === driver) {
      here.drivers.delete(runId);
      here.running.delete(runId);
    }
  }
}

export async function startEngine(options: EngineOptions): Promise<Engine> {
  assert(started === undefined, "one engine per process");
  const { database, log, clock } = options;
  const settings = { ...engineDefaults, ...options.settings };
  const ttlMs = settings.heartbeatTtlMs;
  const processId = randomUUID();
  const stopping = new AbortController();
  const draining = new AbortController();
  const self = thisProcess();
  const buried = await buryPredecessors(database, options.home, self);
  if (buried.length > 0) log.info({ processes: buried }, "an earlier process of this home has died, its runs are taken over");
  await registerProcess(database, processId, options.home, self, ttlMs);
  const onFenced = () => {
    log.error({ processId }, "this process was declared dead and stops working");
    stopping.abort(new Error("fenced"));
    (options.onFenced ?? (() => process.exit(fencedExitCode)))();
  };
  const heartbeat = startHeartbeat({ databaseUrl: options.databaseUrl, processId, ttlMs, clock, log, onFenced });
  const attemptCapMs = Math.round(ttlMs * attemptShare);
  const host: DriverHost = {
    database,
    clock,
    log,
    work: options.work,
    heartbeat,
    stopping: stopping.signal,
    draining: draining.signal,
    attemptCapMs,
    processId,
  };
  const running = new Set<string>();
  started = { host, drivers: new Map(), running };
  const suspects = new Map<string, number>();
  setDataSourceHost(host);
  const { runConcurrency, queuePollMs } = settings;
  const dbos = await launchDbos(options, { processId, runConcurrency, queuePollMs }).catch(async (error: unknown) => {
    stopping.abort(error);
    await heartbeat.stop();
    await forget(host);
    throw error;
  });
  const leadership = startLeadership({ database, processId, ttlMs, clock, log });
  leadership.lead("engine.timers", () => wakeDueTimers(host), settings.watchMs);
  const loops = [
    repeat(host, ttlMs / takeoversPerLife, "takeover", async () => void (await takeOver({ database, heartbeat, ttlMs, log }))),
    repeat(host, ttlMs / takeoversPerLife, "strays", async () => void (await resumeStrays({ processId, running, suspects, log }))),
    repeat(host, settings.watchMs, "watch", watchRuns),
  ];
  return {
    processId,
    lead: (name, loop, intervalMs) => leadership.lead(name, loop, intervalMs),
    waitForRun: (runId, timeoutMs) => waitForRun(host, runId, timeoutMs),
    close: () => closeEngine({ host, stopping, draining, heartbeat, leadership, loops, dbos }),
  };
}

async function repeat(host: DriverHost, intervalMs: number, loop: string, body: (host: DriverHost) => Promise<void>): Promise<void> {
  while (!host.stopping.aborted) {
    await body(host).catch((error: unknown) => host.log.warn({ loop, error: String(error) }, "a loop of the engine failed and goes on"));
    await host.clock.sleep(intervalMs, host.stopping).catch(() => {});
  }
}

/** Tells running drivers about journal entries that others wrote. */
async function watchRuns(host: DriverHost): Promise<void> {
  const drivers = started?.drivers;
  if (drivers === undefined || drivers.size === 0) return;
  const rows = await host.database
    .selectFrom("run")
    .select(["id", "journal_seq"])
    .where("id", "in", [...drivers.keys()])
    .execute();
  for (const row of rows) drivers.get(row.id)?.notice(row.journal_seq);
}

async function wakeDueTimers(host: DriverHost): Promise<void> {
  const due = await host.database
    .selectFrom("run_wait")
    .select(["run_id", "step_id"])
    .where(sql<boolean>`until <= clock_timestamp()`)
    .orderBy("until")
    .limit(timersPerRound)
    .execute();
  for (const wait of due) {
    await host.database.transaction().execute((tx) => wake(tx, wait.run_id, wait.step_id, null));
  }
}

async function waitForRun(host: DriverHost, runId: string, timeoutMs: number): Promise<RunOutcome> {
  const deadline = host.clock.now() + timeoutMs;
  for (;;) {
    const run = await retryDatabase(host, () => readRunState(host, runId));
    if (run === undefined) throw new AppError("not_found", "There is no such run");
    if (run === "succeeded" || run === "compensated" || run === "failed") return run;
    if (host.clock.now() > deadline) throw new AppError("timeout", `The run has not ended in time, it is ${run}`);
    await host.clock.sleep(25);
  }
}

async function readRunState(host: DriverHost, runId: string) {
  return (await host.database.selectFrom("run").select("state").where("id", "=", runId).executeTakeFirst())?.state;
}

interface Running {
  readonly host: DriverHost;
  readonly stopping: AbortController;
  readonly draining: AbortController;
  readonly heartbeat: Heartbeat;
  readonly leadership: Leadership;
  readonly loops: readonly Promise<void>[];
  readonly dbos: { shutdown(): Promise<void> };
}

async function closeEngine(running: Running): Promise<void> {
  const { host } = running;
  running.draining.abort(new Error("the engine is closing"));
  const bounded = (work: Promise<unknown>) => Promise.race([work, host.clock.sleep(closeTimeoutMs, host.stopping).catch(() => {})]);
  await bounded(running.leadership.stop());
  const drained = Promise.all([...(started?.drivers.values() ?? [])].map((driver) => driver.drained()));
  await bounded(drained);
  running.stopping.abort(new Error("the engine is closing"));
  await Promise.all(running.loops);
  await running.dbos.shutdown();
  await running.heartbeat.stop();
  await forget(host);
}

/** What is still pending under our name is taken over by whoever comes next, without waiting for our heartbeat to end. */
async function forget(host: DriverHost): Promise<void> {
  await markStopped(host.database, host.processId).catch(() => {});
  setDataSourceHost(undefined);
  started = undefined;
}
