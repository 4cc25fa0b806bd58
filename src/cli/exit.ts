/** Exit codes, documented in `strat --help`, and the errors that carry one. */
import type { Problem } from "#sdk/client.ts";

export const exitCodes = {
  done: 0,
  failed: 1,
  usage: 2,
  refused: 3,
  notFound: 4,
  unreachable: 5,
} as const;

export const exitCodeHelp = `
Exit codes: 0 done, 1 failed, 2 usage, 3 refused (policy, quota, bounds, state), 4 no such object, 5 server not reachable or token not valid.
Environment: STRATIFORM_URL, STRATIFORM_TOKEN, or STRATIFORM_HOME (the server's home folder, where both are found).`;

/** Ends the program with a sentence on stderr and a code. */
export class CliError extends Error {
  readonly exitCode: number;

  constructor(exitCode: number, message: string) {
    super(message);
    this.name = "CliError";
    this.exitCode = exitCode;
  }
}

export function exitCodeOf(code: Problem["code"]): number {
  switch (code) {
    case "invalid_input":
      return exitCodes.usage;
    case "forbidden":
    case "conflict":
    case "generation_moved":
    case "bound_broken":
    case "idempotency_mismatch":
    case "quota_exceeded":
    case "no_capacity":
    case "not_ours":
    case "capability_missing":
    case "cancelled":
      return exitCodes.refused;
    case "not_found":
      return exitCodes.notFound;
    case "unauthenticated":
    case "unavailable":
    case "too_many_requests":
      return exitCodes.unreachable;
    case "endpoint_refused":
    case "endpoint_unreachable":
    case "endpoint_busy":
    case "timeout":
    case "guest_failed":
    case "internal":
      return exitCodes.failed;
  }
}
