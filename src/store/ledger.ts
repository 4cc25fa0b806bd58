/** The ledger: append-only usage. Dated by the database clock, in the transaction that changes the state. */
import { sql } from "kysely";
import { canonicalJson } from "#domain/json.ts";
import type { LedgerSize, LedgerState } from "#domain/rating.ts";
import type { Database, Tx } from "#store/database.ts";

export interface LedgerEntry {
  readonly organizationId: string;
  readonly projectId: string;
  readonly vappId: string;
  readonly resourceId: string;
  readonly kind: "machine" | "exposure";
  /** `vapp/machine`, for people who read bills. */
  readonly name: string;
  readonly size: LedgerSize;
  readonly state: LedgerState;
  readonly source: string;
}

/** Appends an entry unless the resource is already in that state at that size. The resource's row lock (its counter) serialises its entries. */
export async function ledgerAppend(tx: Tx, entry: LedgerEntry): Promise<boolean> {
  const { ledger_seq } = await tx
    .updateTable(entry.kind)
    .set((eb) => ({ ledger_seq: eb("ledger_seq", "+", 1) }))
    .where("id", "=", entry.resourceId)
    .returning("ledger_seq")
    .executeTakeFirstOrThrow();
  const last = await tx
    .selectFrom("ledger")
    .select(["state", "size"])
    .where("resource_id", "=", entry.resourceId)
    .orderBy("seq", "desc")
    .limit(1)
    .executeTakeFirst();
  // A resource that never ran has nothing to end, and one that is released has nothing left to stop.
  if (last === undefined ? entry.state !== "running" : last.state === entry.state && sameSize(last.size, entry.size)) return false;
  if (last?.state === "released" && entry.state !== "running") return false;
  await tx
    .insertInto("ledger")
    .values({
      organization_id: entry.organizationId,
      project_id: entry.projectId,
      vapp_id: entry.vappId,
      resource_id: entry.resourceId,
      seq: ledger_seq,
      kind: entry.kind,
      name: entry.name,
      size: JSON.stringify(entry.size),
      state: entry.state,
      source: entry.source,
      effective_at: sql<Date>`clock_timestamp()` as never,
    })
    .execute();
  return true;
}

function sameSize(a: unknown, b: LedgerSize): boolean {
  return canonicalJson(a) === canonicalJson(b);
}

export function ledgerOf(db: Database, filter: { organizationId: string; vappId?: string; projectId?: string }) {
  let query = db.selectFrom("ledger").selectAll().where("organization_id", "=", filter.organizationId);
  if (filter.vappId !== undefined) query = query.where("vapp_id", "=", filter.vappId);
  if (filter.projectId !== undefined) query = query.where("project_id", "=", filter.projectId);
  return query.orderBy("resource_id").orderBy("seq").execute();
}

export async function databaseNow(db: Database): Promise<Date> {
  const result = await sql<{ now: Date }>`select clock_timestamp() as now`.execute(db);
  return result.rows[0]!.now;
}
