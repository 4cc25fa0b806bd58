/**
 * One step of one run: attempts on the outside until there is an outcome, then one commit. Attempts end by time-out, by cancel (phase
 * `do`), or because this process may no longer act; only the first two can become the step's outcome.
 */
import { sql } from "kysely";
import { AppError, isAppError } from "#domain/error.ts";
import { formatId } from "#domain/id.ts";
import type { Json } from "#domain/json.ts";
import { type JournalEntry, type SagaPhase, sagaLimits } from "#domain/saga.ts";
import type { RunStep, RunWork, StepContext, StepLimits, StepResult, StepSettlement } from "#engine/contract.ts";
import { CommitAgain, type CheckpointedAction, type DataSourceHost } from "#engine/data-source.ts";
import { faultPoint, stepFault } from "#engine/fault.ts";
import { type Heartbeat, LifeLost } from "#engine/heartbeat.ts";
import { appendJournal } from "#engine/journal.ts";
import { entryOf, markAttempt, writeStep } from "#engine/step-record.ts";
import { logWith } from "#lib/log.ts";
import { isConnectionRefusal, isTransientDatabaseError, retryDatabase } from "#store/database.ts";

/** What every step of this process shares. */
export interface StepHost extends DataSourceHost {
  readonly work: RunWork;
  readonly heartbeat: Heartbeat;
  /** Aborts when the engine closes in good order: attempts in flight may finish, no new one starts. */
  readonly draining: AbortSignal;
  /** Attempts never last longer than this unless the step's limits say so: a part of the heartbeat's life. */
  readonly attemptCapMs: number;
}

export interface StepCall {
  readonly runId: string;
  readonly step: RunStep;
  readonly phase: SagaPhase;
  readonly woken: Json | undefined;
  readonly cancelled: AbortSignal;
  outputs(stepId: string): Json | null;
  /** Serialises the commits of one run without holding database connections meanwhile. */
  inTurn<T>(commit: () => Promise<T>): Promise<T>;
  /** Called when the step is left to whoever comes next: it will never settle here. */
  abandoned(): void;
  /** The entry as committed; not called when the step is replayed from its checkpoint. */
  committed(entry: JournalEntry): void;
}

/** Thrown inside when the outcome is not ours to decide any more; never leaves this module. */
class Abandoned extends Error {}

/** How long a `perform` that ignores its signal is waited for before it is given up. */
const abortGraceMs = 1_000;

/** The step as a checkpointed action. Its output is the number of its journal entry. */
export function stepAction(host: StepHost, call: StepCall): CheckpointedAction<StepSettlement, number> {
  const { runId, step, phase } = call;
  let replaced: StepSettlement | undefined;
  let skipApply = false;
  let entry: JournalEntry | undefined;
  return {
    async prepare() {
      faultPoint(stepFault(phase, step.id, "before"));
      const settlement = await settle(host, call);
      faultPoint(stepFault(phase, step.id, "performed"));
      return settlement;
    },
    around: (commit) =>
      call.inTurn(async () => {
        const seq = await commit();
        faultPoint(stepFault(phase, step.id, "committed"));
        if (entry?.seq === seq) call.committed(entry);
        return seq;
      }),
    async commit(tx, prepared) {
      const settlement = replaced ?? prepared;
      entry = await appendJournal(tx, runId, entryOf(step.id, phase, settlement));
      await writeStep(tx, runId, step.id, phase, settlement);
      if (skipApply) return entry.seq;
      try {
        await host.work.apply(tx, runId, step, phase, settlement);
      } catch (error) {
        if (isTransientDatabaseError(error)) throw error;
        const log = logWith(host.log, { runId: formatId("run", runId), stepId: step.id, phase });
        if (settlement.outcome === "failed") {
          log.error({ error: describe(error) }, "the failure of a step could not be applied");
          skipApply = true;
        } else {
          replaced = { outcome: "failed", error: asAppError(error, log) };
        }
        throw new CommitAgain();
      }
      return entry.seq;
    },
    beforeCommit: () => faultPoint(stepFault(phase, step.id, "in-transaction")),
  };
}

/** Attempts until there is an outcome. Never resolves once the engine is stopping: no outcome is the only true one. */
async function settle(host: StepHost, call: StepCall): Promise<StepSettlement> {
  try {
    return await attempts(host, call);
  } catch (error) {
    if (!(error instanceof Abandoned) && !host.stopping.aborted) throw error;
    call.abandoned();
    return await new Promise<never>(() => {});
  }
}

async function attempts(host: StepHost, call: StepCall): Promise<StepSettlement> {
  const limits = host.work.limits?.(call.step) ?? {};
  // Giving up an undo leaves something behind, so a kind's own limit can only lengthen it.
  const patienceMs =
    call.phase === "do" ? (limits.deadlineMs ?? sagaLimits.doDeadlineMs) : Math.max(limits.deadlineMs ?? 0, sagaLimits.undoDeadlineMs);
  let deadline = host.clock.now() + patienceMs;
  const maxAttempts = limits.maxAttempts ?? sagaLimits.maxAttempts;
  const log = logWith(host.log, { runId: formatId("run", call.runId), stepId: call.step.id, phase: call.phase });
  const stop = call.phase === "do" ? AbortSignal.any([host.stopping, call.cancelled]) : host.stopping;
  const pauseStop = AbortSignal.any([stop, host.draining]);
  let pauseMs: number = sagaLimits.firstRetryMs;
  for (let attempt = 1; ; attempt++) {
    const startedAt = host.clock.now();
    try {
      return await attemptOnce(host, call, { attempt, deadline, limits, stop });
    } catch (error) {
      if (host.stopping.aborted || host.draining.aborted) throw new Abandoned();
      if (stop.aborted) return failed(new AppError("cancelled", "The step was cancelled", { cause: error }));
      const isLifeLost = error instanceof LifeLost;
      if (isLifeLost || (await wasDatabaseAway(host, error, stop))) {
        // Trouble of our own says nothing about the step: it neither counts as an attempt nor uses up the step's time.
        attempt -= 1;
        deadline += host.clock.now() - startedAt;
        continue;
      }
      const failure = asAppError(error, log);
      if (!failure.retryable || attempt >= maxAttempts || host.clock.now() + pauseMs > deadline) {
        // The journal holds what a tenant may read; what the endpoint really said is found here, under the run's name.
        log.error({ attempt, code: failure.code, reason: failure.message, internal: failure.internal }, "step failed");
        return failed(failure);
      }
      log.warn({ attempt, code: failure.code, internal: failure.internal, pauseMs }, "step attempt failed, trying again");
      await host.clock.sleep(pauseMs, pauseStop).catch(() => {});
      if (host.draining.aborted) throw new Abandoned();
      pauseMs = Math.min(pauseMs * 2, sagaLimits.longestRetryMs);
    }
  }
}

/**
 * True when the attempt failed because our own database was away; waits until it is back. An endpoint that refuses connections looks the
 * same to the eye, so the database is asked.
 */
async function wasDatabaseAway(host: StepHost, error: unknown, stop: AbortSignal): Promise<boolean> {
  if (!isTransientDatabaseError(error)) return false;
  if (!isConnectionRefusal(error)) return true;
  let pings = 0;
  await retryDatabase({ ...host, signal: stop }, () => {
    pings += 1;
    return sql`select 1`.execute(host.database);
  }).catch(() => {});
  return pings > 1;
}

function failed(error: AppError): StepSettlement {
  return { outcome: "failed", error };
}

interface AttemptFrame {
  readonly attempt: number;
  readonly deadline: number;
  readonly limits: StepLimits;
  readonly stop: AbortSignal;
}

async function attemptOnce(host: StepHost, call: StepCall, frame: AttemptFrame): Promise<StepSettlement> {
  const timeoutMs = frame.limits.attemptTimeoutMs ?? Math.min(sagaLimits.attemptTimeoutMs, host.attemptCapMs);
  await host.heartbeat.waitForLife(Math.min(timeoutMs, host.attemptCapMs), frame.stop);
  await markAttempt(host, call);
  frame.stop.throwIfAborted();
  const timer = new AbortController();
  const ended = new AbortController();
  const signal = AbortSignal.any([timer.signal, frame.stop, host.heartbeat.signal()]);
  const timeout = () => timer.abort(new AppError("timeout", "The step did not finish in time", { internal: `${timeoutMs} ms` }));
  host.clock.sleep(timeoutMs, ended.signal).then(timeout, () => {});
  const ctx: StepContext = {
    signal,
    clock: host.clock,
    log: logWith(host.log, { runId: formatId("run", call.runId), stepId: call.step.id, phase: call.phase }),
    runId: call.runId,
    step: call.step,
    stepId: call.step.id,
    attempt: frame.attempt,
    deadline: frame.deadline,
    woken: call.woken,
    outputs: call.outputs,
  };
  try {
    signal.throwIfAborted();
    return settlementOf(await unlessIgnored(host.work.perform(ctx, call.phase), signal, host), call.phase);
  } catch (error) {
    // A call that was aborted may fail in its own words; the reason of the abort is what happened.
    throw signal.aborted ? signal.reason : error;
  } finally {
    ended.abort();
  }
}

/** A `perform` that does not react to its signal must not hold up the run for ever. */
async function unlessIgnored<T>(performing: Promise<T>, signal: AbortSignal, host: StepHost): Promise<T> {
  let onAbort = () => {};
  const ignored = new Promise<never>((_, reject) => {
    onAbort = () => void host.clock.sleep(abortGraceMs).then(() => reject(signal.reason));
    signal.addEventListener("abort", onAbort, { once: true });
  });
  ignored.catch(() => {});
  try {
    return await Promise.race([performing, ignored]);
  } finally {
    signal.removeEventListener("abort", onAbort);
  }
}

function settlementOf(result: StepResult, phase: SagaPhase): StepSettlement {
  if (result.wait === undefined) return { outcome: "ok", output: result.output, changes: result.changes };
  if (phase === "undo") throw new AppError("internal", "An internal error happened", { internal: "undo must not wait" });
  if (result.wait.until === undefined && result.wait.event === undefined) {
    throw new AppError("internal", "An internal error happened", { internal: "a wait needs a time or an event" });
  }
  return { outcome: "wait", condition: result.wait, changes: result.changes };
}

function asAppError(error: unknown, log: StepHost["log"]): AppError {
  if (isAppError(error)) return error;
  if (isConnectionRefusal(error))
    return new AppError("endpoint_unreachable", "The endpoint does not answer", { cause: error, internal: describe(error) });
  log.error({ error: describe(error) }, "a step threw something that is not an AppError");
  return new AppError("internal", "An internal error happened", { cause: error, internal: describe(error) });
}

function describe(error: unknown): string {
  return error instanceof Error ? (error.stack ?? error.message) : String(error);
}
