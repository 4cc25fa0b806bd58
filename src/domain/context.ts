/**
 * What every outside call is handed instead of globals. Implementations live in `lib/`; the interfaces live here so that
 * contracts and planners can name them without importing node.
 */

/** Time as a capability: virtual in tests, the wall clock in production. */
export interface Clock {
  /** Milliseconds since the Unix epoch, UTC. */
  now(): number;
  /** Resolves after `ms` milliseconds; rejects with the signal's reason when it aborts first. */
  sleep(ms: number, signal?: AbortSignal): Promise<void>;
}

/** Structured log: constant message, fields as data. Secrets never go in. */
export interface Log {
  debug(fields: object, message: string): void;
  info(fields: object, message: string): void;
  warn(fields: object, message: string): void;
  error(fields: object, message: string): void;
}

/** First parameter of every call that leaves the process. */
export interface CallContext {
  /** Aborts when the caller lost interest, its time is up, or its control-plane process lost its heartbeat. */
  readonly signal: AbortSignal;
  readonly log: Log;
  readonly clock: Clock;
}
