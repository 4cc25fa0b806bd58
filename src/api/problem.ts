/**
 * Errors as RFC 9457 problem documents: the one table from error code to HTTP status, and the one function that makes a document. What
 * is not an AppError becomes `internal` and says nothing about itself; the log has it under the same request id.
 */
import { z } from "zod";
import { AppError, errorCodes, type ErrorCode } from "#domain/error.ts";

export const problemStatus = {
  invalid_input: 400,
  unauthenticated: 401,
  forbidden: 403,
  not_found: 404,
  conflict: 409,
  generation_moved: 412,
  bound_broken: 409,
  idempotency_mismatch: 422,
  quota_exceeded: 409,
  no_capacity: 409,
  not_ours: 409,
  capability_missing: 422,
  endpoint_refused: 502,
  endpoint_unreachable: 503,
  endpoint_busy: 503,
  timeout: 504,
  cancelled: 409,
  guest_failed: 502,
  too_many_requests: 429,
  unavailable: 503,
  internal: 500,
} as const satisfies Record<ErrorCode, number>;

export const problemContentType = "application/problem+json";

export const problemSchema = z
  .object({
    type: z.string().meta({ description: "urn:stratiform:problem:<code>" }),
    title: z.string().meta({ description: "The code in words; the same for every problem of that code" }),
    status: z.int(),
    detail: z.string().meta({ description: "What happened here; may be shown to people" }),
    code: z.enum(Object.keys(errorCodes) as [ErrorCode, ...ErrorCode[]]).meta({ description: "For programs: decides what to do" }),
    retryable: z.boolean().meta({ description: "Whether the same request may succeed later" }),
    requestId: z.string().meta({ description: "Finds the request in log and audit" }),
    refusals: z
      .array(
        z.object({
          constraint: z.string().meta({ description: "The rule that was broken, with its figures" }),
          source: z.string().meta({ description: "Where the rule comes from" }),
          nearest: z.string().meta({ description: "The nearest change that would be accepted" }),
        }),
      )
      .meta({ description: "One per broken constraint" }),
  })
  .meta({ id: "Problem" });
export type Problem = z.infer<typeof problemSchema>;

/** Errors of the HTTP framework, by its codes: a client's mistake before any handler saw the request. */
const transportProblems: Readonly<Record<string, { readonly status: number; readonly message: string; readonly nearest: string }>> = {
  FST_ERR_CTP_BODY_TOO_LARGE: { status: 413, message: "the body is larger than 1 MiB", nearest: "send less" },
  FST_ERR_CTP_INVALID_MEDIA_TYPE: { status: 415, message: "the body is not JSON", nearest: "send content-type application/json" },
  FST_ERR_CTP_EMPTY_JSON_BODY: { status: 400, message: "the body is empty", nearest: "send a JSON document, or no content-type" },
  FST_ERR_CTP_INVALID_JSON_BODY: { status: 400, message: "the body is not valid JSON", nearest: "send one JSON document" },
  FST_ERR_CTP_INVALID_CONTENT_LENGTH: { status: 400, message: "the body is not as long as announced", nearest: "correct content-length" },
  FST_ERR_BAD_URL: { status: 400, message: "the path is not valid", nearest: "percent-encode it" },
};

/** Never throws and never leaks: `unknown` in, a document out. */
export function problemOf(error: unknown, requestId: string): Problem {
  if (error instanceof AppError) return document(error, problemStatus[error.code], requestId);
  const code = error instanceof Error && "code" in error ? String(error.code) : "";
  const transport = Object.hasOwn(transportProblems, code) ? transportProblems[code] : undefined;
  if (transport !== undefined) {
    const { status, message, nearest } = transport;
    return document(
      new AppError("invalid_input", message, { detail: [{ constraint: message, source: "HTTP", nearest }] }),
      status,
      requestId,
    );
  }
  // fast-uri and the JSON parser of the framework have no codes of their own, only a status.
  if (error instanceof SyntaxError && "statusCode" in error && error.statusCode === 400) {
    return document(new AppError("invalid_input", "the body is not valid JSON"), 400, requestId);
  }
  return document(new AppError("internal", "an internal error happened; the log has it under this request id"), 500, requestId);
}

function document(error: AppError, status: number, requestId: string): Problem {
  return {
    type: `urn:stratiform:problem:${error.code}`,
    title: errorCodes[error.code].title,
    status,
    detail: error.message,
    code: error.code,
    retryable: error.retryable,
    requestId,
    refusals: error.detail.map(({ constraint, source, nearest }) => ({ constraint, source, nearest })),
  };
}
