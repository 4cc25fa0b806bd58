/**
 * What the engine offers and what it asks of the application. The engine runs graphs of steps durably; it knows no VMs.
 *
 * Promises of the engine:
 * - `perform` is called outside any transaction, at least once per attempted step and phase, and again after a crash: it must be
 *   idempotent (`ensure`, `remove`).
 * - `apply` commits exactly once per step and phase, in ONE transaction with the journal row and the DBOS checkpoint. `finish` commits
 *   exactly once per run, in one transaction with the run's end.
 * - Database trouble is never a step's outcome: it is waited out.
 */
import type { CallContext, Clock, Log } from "#domain/context.ts";
import type { AppError } from "#domain/error.ts";
import type { Json } from "#domain/json.ts";
import type { OnFailure, RunOutcome, SagaPhase, SagaStep, WaitCondition } from "#domain/saga.ts";
import type { Database, Tx } from "#store/database.ts";

/** A step as it is stored: the graph node plus what the executor of its kind needs. No secret is ever in `input`. */
export interface RunStep extends SagaStep {
  readonly title: string;
  readonly input: Json;
}

/** Limits of one kind of step; every figure has a default in `sagaLimits`. */
export interface StepLimits {
  /** Time-out of one attempt. Values above the heartbeat's TTL still stop when the process loses its heartbeat. */
  readonly attemptTimeoutMs?: number;
  /** How long retryable errors are retried before they become the step's outcome (undo retries longer). */
  readonly deadlineMs?: number;
  readonly maxAttempts?: number;
}

/** What one `perform` call is given. `signal` aborts at the attempt's time-out, on cancel (phase `do`), and when the heartbeat is lost. */
export interface StepContext extends CallContext {
  readonly runId: string;
  readonly step: RunStep;
  readonly stepId: string;
  /** 1 for the first attempt in this process. */
  readonly attempt: number;
  /** Milliseconds since the epoch at which retrying ends. */
  readonly deadline: number;
  /** Payload of the wake that resumed this step; undefined when it never waited. */
  readonly woken: Json | undefined;
  /** Output of an earlier step (`do`, ok) or of this step itself in phase `undo`; null when there is none. */
  outputs(stepId: string): Json | null;
}

/** `changes` is handed to `apply` unserialised; `output` is journalled and readable by later steps. */
export type StepResult =
  | { readonly output: Json | null; readonly changes?: unknown; readonly wait?: undefined }
  /** Only in phase `do`: ends this attempt, frees the run's slot, and calls `perform` again with `woken` when the condition is met. */
  | { readonly wait: WaitCondition; readonly changes?: unknown };

export type StepSettlement =
  | { readonly outcome: "ok"; readonly output: Json | null; readonly changes: unknown }
  | { readonly outcome: "wait"; readonly condition: WaitCondition; readonly changes: unknown }
  | { readonly outcome: "failed"; readonly error: AppError };

/** Supplied by the application. */
export interface RunWork {
  /** Limits of a step; omit for the defaults. */
  limits?(step: RunStep): StepLimits;
  /** Does or undoes one step on the outside. Throws AppError: retryable codes are retried inside the engine, others are the outcome. */
  perform(ctx: StepContext, phase: SagaPhase): Promise<StepResult>;
  /** Writes domain rows. Only `tx` may be used. When it throws an AppError the step is recorded as failed and `apply` is called for that. */
  apply(tx: Tx, runId: string, step: RunStep, phase: SagaPhase, settlement: StepSettlement): Promise<void>;
  /** Writes the domain's end of the run (releases the vApp's lock and so on). */
  finish(tx: Tx, runId: string, outcome: RunOutcome): Promise<void>;
}

export interface EngineSettings {
  /** Life of a heartbeat. Default 15 000; a dead process is taken over after at most this. */
  readonly heartbeatTtlMs?: number;
  /** Runs that execute at the same time in this process. Default 32. */
  readonly runConcurrency?: number;
  /** How often the queue is asked for new runs. Default 100. */
  readonly queuePollMs?: number;
  /** How often running runs look for cancels and wakes, and the leader for due timers. Default 250. */
  readonly watchMs?: number;
}

export interface EngineOptions {
  readonly database: Database;
  readonly databaseUrl: string;
  /** Identifies the installation folder this process serves: a restarted process takes over its predecessor of the same home at once. */
  readonly home: string;
  readonly log: Log;
  readonly clock: Clock;
  readonly work: RunWork;
  readonly settings?: EngineSettings;
  /** Called once when this process was declared dead by others (it must exit: its work has been taken over). Default: exit code 70. */
  readonly onFenced?: () => void;
}

export interface Engine {
  /** Id of this process in `control_process`; also DBOS's executor id. */
  readonly processId: string;
  /** Runs `loop` every `intervalMs` in whichever process leads `name`. Errors are logged and the loop goes on. */
  lead(name: string, loop: (ctx: CallContext) => Promise<void>, intervalMs: number): void;
  /** Resolves when the run has ended; for tests and the CLI's `--wait` in process. */
  waitForRun(runId: string, timeoutMs: number): Promise<RunOutcome>;
  /** Stops taking work, waits (bounded) for steps in flight, shuts DBOS down. The database stays open: it is the caller's. */
  close(): Promise<void>;
}

/** What `createRun` stores (module `engine/run.ts`, all inside the caller's transaction). */
export interface NewRun {
  readonly id: string;
  readonly steps: readonly RunStep[];
  readonly onFailure: OnFailure;
}
/*
 * engine/run.ts exports, all usable without a started engine:
 *   createRun(tx, run: NewRun): validates the graph, inserts run + run_step rows, enqueues. Throws invalid_input.
 *   requestCancel(tx, runId): boolean                 false when the run has already ended
 *   wake(tx, runId, stepId, payload): boolean         false when the step is not waiting
 *   wakeEvent(tx, eventKey, payload): number          wakes all steps waiting for the key
 * engine/engine.ts exports startEngine(options): Promise<Engine>
 * engine/fault.ts exports faultPoint(name), faultPoints(steps): string[]
 */
