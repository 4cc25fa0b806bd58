import { expect, test } from "vitest";
import { AppError, errorCodes, type ErrorCode } from "#domain/error.ts";
import { problemOf, problemSchema, problemStatus } from "#api/problem.ts";

test("every code has a status, and retryable ones are those a client may repeat", () => {
  for (const code of Object.keys(errorCodes) as ErrorCode[]) {
    const problem = problemOf(new AppError(code, "said", { detail: [{ constraint: "a", source: "b", nearest: "c" }] }), "req_1");
    expect(problemSchema.parse(problem)).toEqual(problem);
    expect(problem).toMatchObject({
      code,
      status: problemStatus[code],
      detail: "said",
      refusals: [{ constraint: "a", source: "b", nearest: "c" }],
    });
    expect([429, 503, 504].includes(problem.status)).toBe(problem.retryable);
  }
});

test("what only the log may know is never in the document", () => {
  const cause = new Error("relation secret_table does not exist");
  const shown = [
    new AppError("conflict", "said", { internal: "canary-internal", cause }),
    new Error("canary-message", { cause }),
    Object.assign(new Error("canary-message"), { code: "42P01", statusCode: 400, detail: "canary-detail" }),
    Object.assign(new Error("canary-message"), { code: "toString" }),
    "canary-string",
    undefined,
  ].map((error) => JSON.stringify(problemOf(error, "req_1")));
  for (const text of shown) expect(text).not.toMatch(/canary|secret_table/);
  for (const text of shown.slice(1)) expect(JSON.parse(text)).toMatchObject({ status: 500, code: "internal", requestId: "req_1" });
});
