/**
 * Bookkeeping of requests, for the HTTP edge: idempotency keys, the request log, readiness. Not use cases: nothing here shows or
 * changes a thing of a tenant, and all of it happens before or after policy is asked.
 */
import type { Log } from "#domain/context.ts";
import { AppError } from "#domain/error.ts";
import type { AppContext, Platform } from "#app/context.ts";
import { auditOrderOf } from "#store/audit.ts";
import { isTransientDatabaseError } from "#store/database.ts";
import { eventHead as headOf } from "#store/event.ts";
import {
  keyClaim,
  keyConfirm,
  keyRead,
  keyRelease,
  keySettle,
  keysPrune,
  keysRenew,
  keyTakeOver,
  type KeyOwner,
} from "#store/idempotency.ts";
import { requestLogInsert, requestLogPrune, type RequestRecord } from "#store/request-log.ts";
import { installationId } from "#store/installation.ts";

export type { KeyOwner } from "#store/idempotency.ts";
export type { RequestRecord } from "#store/request-log.ts";

type Place = Pick<Platform, "database">;

export const requestTimes = {
  /** How often an attempt at work gives a sign of life, and how long without one it is believed dead. */
  renewMs: 2_000,
  silentMs: 10_000,
  /** How long a repetition waits for the first attempt's answer. */
  waitMs: 15_000,
  pollMs: 100,
  keepKeysMs: 24 * 60 * 60 * 1_000,
  keepLogMs: 7 * 24 * 60 * 60 * 1_000,
} as const;

export type Claim =
  /** The key is ours: carry out the request. */
  | { readonly type: "ours" }
  /** The key is ours now, but another attempt had begun and fell silent before it committed anything. */
  | { readonly type: "abandoned" }
  /** The change was committed by a process that then died: find out what it answered. */
  | { readonly type: "committed"; readonly requestId: string }
  | { readonly type: "answered"; readonly status: number; readonly response: unknown };

/** Claims the key or waits for whoever has it. Throws `idempotency_mismatch` for another request, `conflict` when it takes too long. */
export async function claimKey(ctx: AppContext, owner: KeyOwner, requestHash: string): Promise<Claim> {
  const { database } = ctx.platform;
  const started = ctx.clock.now();
  for (;;) {
    if (await keyClaim(database, owner, requestHash)) return { type: "ours" };
    const row = await keyRead(database, owner.principalId, owner.key);
    // Released between the two statements: it is free again.
    if (row === undefined) continue;
    if (row.requestHash !== requestHash) throw mismatch(owner.key);
    if (row.status !== null) return { type: "answered", status: row.status, response: row.response };
    if (row.ageMs > requestTimes.silentMs && (await keyTakeOver(database, owner, row.attempt!, requestTimes.silentMs))) {
      ctx.log.warn(
        { attempt: row.attempt, committed: row.committedBy !== null },
        "a request is taken over from an attempt that fell silent",
      );
      return row.committedBy === null ? { type: "abandoned" } : { type: "committed", requestId: row.committedBy };
    }
    if (ctx.clock.now() - started > requestTimes.waitMs) throw stillWorking(owner.key);
    await ctx.clock.sleep(requestTimes.pollMs, ctx.signal);
  }
}

/** For `AppContext.committing`: an attempt that was taken over cannot commit. */
export function confirmKey(owner: KeyOwner): NonNullable<AppContext["committing"]> {
  return async (tx) => {
    if (!(await keyConfirm(tx, owner))) throw stillWorking(owner.key);
  };
}

export const settleKey = (place: Place, owner: KeyOwner, status: number, response: unknown) =>
  keySettle(place.database, owner, status, response);
export const releaseKey = (place: Place, owner: KeyOwner) => keyRelease(place.database, owner);
export const renewKeys = (place: Place, attempts: readonly string[]) => keysRenew(place.database, attempts);

/** Id of the order that request placed, as committed with it; null when it placed none. */
export function orderOfRequest(ctx: AppContext, requestId: string): Promise<string | null> {
  return auditOrderOf(ctx.platform.database, ctx.actor.principalId, requestId);
}

export const recordRequests = (place: Place, records: readonly RequestRecord[]) => requestLogInsert(place.database, records);

/** Keys older than a day and log rows older than a week go. */
export async function forgetRequests(place: Place): Promise<void> {
  await keysPrune(place.database, requestTimes.keepKeysMs);
  await requestLogPrune(place.database, requestTimes.keepLogMs);
}

export const eventHead = (place: Place): Promise<number> => headOf(place.database);

/** Whether requests can be served now. */
export async function isReady(place: Place, log: Log): Promise<boolean> {
  try {
    return (await installationId(place.database)) !== null;
  } catch (error) {
    log.warn({ error: String(error) }, "the database does not answer");
    return false;
  }
}

/** Trouble of the database becomes the retryable `unavailable`; everything else stays what it is. */
export function databaseTrouble(error: unknown): unknown {
  if (!isTransientDatabaseError(error)) return error;
  return new AppError("unavailable", "the database does not answer; try again", { cause: error });
}

function mismatch(key: string): AppError {
  return new AppError("idempotency_mismatch", "the idempotency key was used for another request", {
    detail: [
      { constraint: "one key belongs to one request", source: `Idempotency-Key ${key}`, nearest: "use a new key for another request" },
    ],
  });
}

function stillWorking(key: string): AppError {
  return new AppError("conflict", "a request with this idempotency key is still being worked on", {
    detail: [{ constraint: "one request of a key at a time", source: `Idempotency-Key ${key}`, nearest: "repeat it in a few seconds" }],
  });
}
