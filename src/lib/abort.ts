import { AppError } from "#domain/error.ts";

/** The caller's own reason when it is one of ours; otherwise what an expired or withdrawn signal means. */
export function abortError(signal: AbortSignal): AppError {
  const reason: unknown = signal.reason;
  if (reason instanceof AppError) return reason;
  const expired = reason instanceof DOMException && reason.name === "TimeoutError";
  return expired
    ? new AppError("timeout", "The time limit was reached", { cause: reason })
    : new AppError("cancelled", "The work was cancelled", { cause: reason });
}
