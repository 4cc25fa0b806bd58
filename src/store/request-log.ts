/** One row a request: who asked what when, and how it ended. Routes, not paths: names of tenants' things are not in it. */
import { sql } from "kysely";
import type { Database } from "#store/database.ts";

export interface RequestRecord {
  readonly id: string;
  readonly principalId: string | null;
  readonly method: string;
  readonly route: string;
  readonly status: number;
  readonly durationMs: number;
}

export async function requestLogInsert(db: Database, records: readonly RequestRecord[]): Promise<void> {
  if (records.length === 0) return;
  await db
    .insertInto("request_log")
    .values(
      records.map((record) => ({
        id: record.id,
        principal_id: record.principalId,
        method: record.method,
        route: record.route,
        status: record.status,
        duration_ms: record.durationMs,
      })),
    )
    // A batch that was written before the connection broke is written again.
    .onConflict((c) => c.column("id").doNothing())
    .execute();
}

export async function requestLogPrune(db: Database, olderThanMs: number): Promise<void> {
  await db
    .deleteFrom("request_log")
    .where(sql<boolean>`at < now() - ${olderThanMs} * interval '1 millisecond'`)
    .execute();
}
