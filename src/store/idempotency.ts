/**
 * Idempotency keys. A row without status is a request being worked on: `response` then holds the attempt that works on it (the request
 * id), which renews `created_at` while its process lives, and whether its change has been committed. One with status holds the answer.
 *
 * The attempt is a fence: a change confirms it inside its own transaction, so an attempt that was believed dead and taken over cannot
 * commit any more.
 */
import { sql } from "kysely";
import type { Database, Tx } from "#store/database.ts";

export interface KeyOwner {
  readonly principalId: string;
  readonly key: string;
  readonly attempt: string;
}

export interface KeyRow {
  readonly requestHash: string;
  /** Null while it is being worked on. */
  readonly status: number | null;
  readonly response: unknown;
  readonly attempt: string | null;
  /** Request id of the attempt whose change was committed. */
  readonly committedBy: string | null;
  /** Since the attempt last gave a sign of life, by the database's clock. */
  readonly ageMs: number;
}

/** True when the key was free and is now this attempt's. */
export async function keyClaim(db: Database, owner: KeyOwner, requestHash: string): Promise<boolean> {
  const row = await db
    .insertInto("idempotency_key")
    .values({
      principal_id: owner.principalId,
      key: owner.key,
      request_hash: requestHash,
      status: null,
      response: JSON.stringify({ attempt: owner.attempt }),
    })
    .onConflict((c) => c.columns(["principal_id", "key"]).doNothing())
    .returning("key")
    .executeTakeFirst();
  return row !== undefined;
}

export async function keyRead(db: Database, principalId: string, key: string): Promise<KeyRow | undefined> {
  const row = await db
    .selectFrom("idempotency_key")
    .select(["request_hash", "status", "response"])
    .select(sql<number>`(extract(epoch from clock_timestamp() - created_at) * 1000)::float8`.as("age_ms"))
    .where("principal_id", "=", principalId)
    .where("key", "=", key)
    .executeTakeFirst();
  if (row === undefined) return undefined;
  const pending = row.status === null ? (row.response as { attempt: string; committedBy?: string }) : null;
  return {
    requestHash: row.request_hash,
    status: row.status,
    response: row.response,
    attempt: pending?.attempt ?? null,
    committedBy: pending?.committedBy ?? null,
    ageMs: row.age_ms,
  };
}

/** Takes the key from an attempt that gave no sign of life; false when somebody else was quicker or it lives after all. */
export async function keyTakeOver(db: Database, owner: KeyOwner, from: string, silentMs: number): Promise<boolean> {
  const result = await pending(db, { ...owner, attempt: from })
    .set({
      response: sql`response || jsonb_build_object('attempt', ${owner.attempt}::text)`,
      created_at: sql<Date>`clock_timestamp()`,
    } as never)
    .where(sql<boolean>`created_at < clock_timestamp() - ${silentMs} * interval '1 millisecond'`)
    .executeTakeFirst();
  return Number(result.numUpdatedRows) === 1;
}

/** Inside the change's transaction: false when the key was taken over, and then the change must not commit. */
export async function keyConfirm(tx: Tx, owner: KeyOwner): Promise<boolean> {
  const result = await pending(tx, owner)
    .set({ response: sql`response || jsonb_build_object('committedBy', ${owner.attempt}::text)` } as never)
    .executeTakeFirst();
  return Number(result.numUpdatedRows) === 1;
}

/** Signs of life of attempts that are still at work. */
export async function keysRenew(db: Database, attempts: readonly string[]): Promise<void> {
  if (attempts.length === 0) return;
  await db
    .updateTable("idempotency_key")
    .set({ created_at: sql<Date>`clock_timestamp()` } as never)
    .where("status", "is", null)
    .where(sql<string>`response->>'attempt'`, "in", [...attempts])
    .execute();
}

export async function keySettle(db: Database, owner: KeyOwner, status: number, response: unknown): Promise<void> {
  await pending(db, owner)
    .set({ status, response: JSON.stringify(response ?? null) })
    .execute();
}

/** Frees the key of an attempt that changed nothing, so that the same request may be tried again. */
export async function keyRelease(db: Database, owner: KeyOwner): Promise<void> {
  await db
    .deleteFrom("idempotency_key")
    .where("principal_id", "=", owner.principalId)
    .where("key", "=", owner.key)
    .where("status", "is", null)
    .where(sql<string>`response->>'attempt'`, "=", owner.attempt)
    .where(sql<boolean>`not response ? 'committedBy'`)
    .execute();
}

export async function keysPrune(db: Database, olderThanMs: number): Promise<void> {
  await db
    .deleteFrom("idempotency_key")
    .where(sql<boolean>`created_at < clock_timestamp() - ${olderThanMs} * interval '1 millisecond'`)
    .execute();
}

function pending(db: Database, owner: KeyOwner) {
  return db
    .updateTable("idempotency_key")
    .where("principal_id", "=", owner.principalId)
    .where("key", "=", owner.key)
    .where("status", "is", null)
    .where(sql<string>`response->>'attempt'`, "=", owner.attempt);
}
