/**
 * The one error type. `code` decides everything a machine needs (HTTP status, retry), `message` may be shown to a tenant,
 * `detail` holds the refusal triple of invariant I10, `internal` is only logged.
 */

/** Closed set of error codes; `retryable` is a property of the code, never of the place that throws it. */
export const errorCodes = {
  invalid_input: { retryable: false, title: "The request is not valid" },
  unauthenticated: { retryable: false, title: "A valid token is required" },
  forbidden: { retryable: false, title: "Policy does not allow this" },
  not_found: { retryable: false, title: "There is no such object" },
  conflict: { retryable: false, title: "The object is in a state that does not allow this" },
  generation_moved: { retryable: false, title: "The object changed since the plan was made" },
  bound_broken: { retryable: false, title: "The change would break a promised bound" },
  idempotency_mismatch: { retryable: false, title: "The idempotency key was used for another request" },
  quota_exceeded: { retryable: false, title: "The quota does not allow this" },
  no_capacity: { retryable: false, title: "No endpoint can take this machine" },
  not_ours: { retryable: false, title: "The object belongs to somebody else and is left alone" },
  capability_missing: { retryable: false, title: "The endpoint cannot do this" },
  endpoint_refused: { retryable: false, title: "The endpoint refused the request" },
  endpoint_unreachable: { retryable: true, title: "The endpoint does not answer" },
  endpoint_busy: { retryable: true, title: "The endpoint is busy" },
  timeout: { retryable: true, title: "The time limit was reached" },
  cancelled: { retryable: false, title: "The work was cancelled" },
  guest_failed: { retryable: false, title: "The guest reported a failure" },
  too_many_requests: { retryable: true, title: "Too many requests" },
  unavailable: { retryable: true, title: "The service is not ready" },
  internal: { retryable: false, title: "An internal error happened" },
} as const satisfies Record<string, { retryable: boolean; title: string }>;

export type ErrorCode = keyof typeof errorCodes;

/** Invariant I10: what a refusal must say. All three are sentences a tenant may read. */
export interface Refusal {
  /** The rule that was broken, with its figures. */
  readonly constraint: string;
  /** Where the rule comes from: a policy id, a quota, a schema path, an offering version. */
  readonly source: string;
  /** The nearest change that would be accepted. */
  readonly nearest: string;
}

export interface AppErrorOptions {
  /** Refusals, one per broken constraint. */
  readonly detail?: readonly Refusal[];
  /** Only logged, never shown. */
  readonly internal?: string;
  readonly cause?: unknown;
}

export class AppError extends Error {
  readonly code: ErrorCode;
  readonly detail: readonly Refusal[];
  readonly internal: string | undefined;

  constructor(code: ErrorCode, message: string, options: AppErrorOptions = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.name = "AppError";
    this.code = code;
    this.detail = options.detail ?? [];
    this.internal = options.internal;
  }

  get retryable(): boolean {
    return errorCodes[this.code].retryable;
  }
}

/** True when `error` is an AppError, optionally of one code. */
export function isAppError(error: unknown, code?: ErrorCode): error is AppError {
  return error instanceof AppError && (code === undefined || error.code === code);
}

/** Programmer errors crash: this is for what cannot happen if our own code is right. */
export function assert(condition: unknown, message: string): asserts condition {
  if (!condition) throw new Error(`assertion failed: ${message}`);
}

/** Closes an exhaustive switch. */
export function unreachable(value: never): never {
  throw new Error(`unreachable: ${JSON.stringify(value)}`);
}
