/**
 * The main thread's view of the heartbeat. Work on the outside starts only while more life is left than the work may take, and its
 * signal aborts when life runs out: so a process that others may have declared dead is not acting any more.
 */
import { Worker } from "node:worker_threads";
import type { Clock, Log } from "#domain/context.ts";
import { ownProgram } from "#lib/own-file.ts";

/** Beats that may be lost before others take over, plus one. */
const beatsPerLife = 6;

export interface HeartbeatWorkerData {
  readonly databaseUrl: string;
  readonly processId: string;
  readonly ttlMs: number;
  readonly intervalMs: number;
  /** [0]: monotonic nanoseconds at which our life ends; [1]: since when it has not been interrupted. */
  readonly shared: SharedArrayBuffer;
}

export class LifeLost extends Error {}

export interface Heartbeat {
  /** Milliseconds until others may declare us dead; 0 when they may already have. */
  lifeLeftMs(): number;
  /** For how long the heartbeat has not been interrupted: who was cut off itself must not judge others. */
  steadyMs(): number;
  /** Aborts (with LifeLost) when life runs out; a new signal is handed out when it is back. */
  signal(): AbortSignal;
  /** Resolves when more than `ms` of life is left. */
  waitForLife(ms: number, signal: AbortSignal): Promise<void>;
  stop(): Promise<void>;
}

export interface HeartbeatOptions {
  readonly databaseUrl: string;
  readonly processId: string;
  readonly ttlMs: number;
  readonly clock: Clock;
  readonly log: Log;
  readonly onFenced: () => void;
}

/** Call right after the process's row was written, which counts as the first beat. */
export function startHeartbeat(options: HeartbeatOptions): Heartbeat {
  const shared = new SharedArrayBuffer(2 * BigInt64Array.BYTES_PER_ELEMENT);
  const words = new BigInt64Array(shared);
  const now = process.hrtime.bigint();
  Atomics.store(words, 0, now + BigInt(Math.round(options.ttlMs * 1e6)));
  const { databaseUrl, processId, ttlMs } = options;
  const workerData: HeartbeatWorkerData = { databaseUrl, processId, ttlMs, intervalMs: ttlMs / beatsPerLife, shared };
  const worker = new Worker(ownProgram("engine/heartbeat-worker"), { workerData, name: "heartbeat" });
  worker.unref();
  worker.on("message", () => options.onFenced());
  worker.on("error", (error) => options.log.error({ error: error.message }, "heartbeat thread failed"));

  const lifeLeftMs = () => Math.max(0, Number(Atomics.load(words, 0) - process.hrtime.bigint()) / 1e6);
  let lost = new AbortController();
  const intervalMs = options.ttlMs / beatsPerLife / 2;
  const watch = setInterval(() => {
    if (lifeLeftMs() > 0) {
      if (lost.signal.aborted) lost = new AbortController();
    } else if (!lost.signal.aborted) {
      options.log.warn({}, "heartbeat lost, work on the outside is stopped");
      lost.abort(new LifeLost("the heartbeat of this process ran out"));
    }
  }, intervalMs);
  watch.unref();

  return {
    lifeLeftMs,
    steadyMs: () => (lifeLeftMs() === 0 ? 0 : Number(process.hrtime.bigint() - Atomics.load(words, 1)) / 1e6),
    signal: () => lost.signal,
    async waitForLife(ms, signal) {
      while (lifeLeftMs() <= ms || lost.signal.aborted) await options.clock.sleep(Math.max(5, intervalMs / 4), signal);
    },
    async stop() {
      clearInterval(watch);
      worker.removeAllListeners("message");
      worker.postMessage("stop");
      await worker.terminate();
    },
  };
}
