import { connect } from "node:net";
import { expect, test } from "vitest";
import { systemClock } from "#lib/clock.ts";
import { silentLog } from "#lib/log.ts";
import { isTransientDatabaseError, retryDatabase } from "#store/database.ts";

function withCode(code: string, message = "x"): Error {
  return Object.assign(new Error(message), { code });
}

test("trouble of the database is told from errors of the statement", () => {
  for (const code of ["08006", "57P01", "57P03", "40001", "40P01", "53300", "55P03"])
    expect(isTransientDatabaseError(withCode(code))).toBe(true);
  for (const code of ["23505", "23514", "42P01", "22P02", "25P02"]) expect(isTransientDatabaseError(withCode(code))).toBe(false);
  for (const message of [
    "Connection terminated unexpectedly",
    "timeout exceeded when trying to connect",
    "Client has encountered a connection error and is not queryable",
  ]) {
    expect(isTransientDatabaseError(new Error(message))).toBe(true);
  }
  expect(isTransientDatabaseError("ECONNREFUSED")).toBe(false);
  // A missing file is not a missing server.
  expect(isTransientDatabaseError(withCode("ECONNREFUSED"))).toBe(false);
});

test("a refused connection is recognised as node reports it", async () => {
  const refused = await new Promise<Error>((resolve) => connect({ path: "/nonexistent/socket" }).on("error", resolve));
  expect(isTransientDatabaseError(refused)).toBe(true);
});

test("infrastructure errors are waited out, others are thrown, and both limits hold", async () => {
  let attempts = 0;
  const value = await retryDatabase({ clock: systemClock, log: silentLog }, async () => {
    attempts += 1;
    if (attempts < 3) throw withCode("57P03");
    return attempts;
  });
  expect(value).toBe(3);
  const options = { clock: systemClock, log: silentLog };
  await expect(retryDatabase(options, () => Promise.reject(withCode("23505")))).rejects.toMatchObject({ code: "23505" });
  await expect(retryDatabase({ ...options, limitMs: 50 }, () => Promise.reject(withCode("57P03")))).rejects.toMatchObject({
    code: "57P03",
  });
  const signal = AbortSignal.timeout(50);
  await expect(retryDatabase({ ...options, signal }, () => Promise.reject(withCode("57P03")))).rejects.toMatchObject({
    name: "TimeoutError",
  });
});
