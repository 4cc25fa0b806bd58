/** The audit table: append-only, chained per organization by a sealer. */
import { createHash } from "node:crypto";
import { sql } from "kysely";
import { canonicalJson } from "#domain/json.ts";
import type { Database } from "#store/database.ts";

export interface AuditEntry {
  readonly organizationId: string;
  readonly principalId: string | null;
  readonly action: string;
  readonly resource: string;
  readonly decision: string;
  readonly reason: string;
  readonly requestId: string;
  readonly data: object;
}

export async function auditInsert(db: Database, entry: AuditEntry): Promise<void> {
  await db
    .insertInto("audit")
    .values({
      organization_id: entry.organizationId,
      principal_id: entry.principalId,
      action: entry.action,
      resource: entry.resource,
      decision: entry.decision,
      reason: entry.reason,
      request_id: entry.requestId,
      data: JSON.stringify(entry.data),
    })
    .execute();
}

export function auditList(db: Database, organizationId: string, limit: number, after: number) {
  return db
    .selectFrom("audit")
    .leftJoin("principal", "principal.id", "audit.principal_id")
    .selectAll("audit")
    .select("principal.name as principal_name")
    .where("audit.organization_id", "=", organizationId)
    .where("audit.id", ">", after)
    .orderBy("audit.id")
    .limit(limit)
    .execute();
}

/** Id of the order a request placed, from the audit row that was committed with it. */
export async function auditOrderOf(db: Database, principalId: string, requestId: string): Promise<string | null> {
  const row = await db
    .selectFrom("audit")
    .select(sql<string | null>`data->>'order'`.as("order"))
    .where("principal_id", "=", principalId)
    .where("request_id", "=", requestId)
    .where(sql<boolean>`data ? 'order'`)
    .executeTakeFirst();
  return row?.order ?? null;
}

const sealBatch = 500;
const firstHash = "0".repeat(64);

/** Chains the next unsealed rows of one organization, in the order they became visible. A chained row never moves. */
export async function auditSeal(db: Database, organizationId: string): Promise<number> {
  return db.transaction().execute(async (tx) => {
    await tx.selectFrom("organization").select("id").where("id", "=", organizationId).forUpdate().executeTakeFirstOrThrow();
    const last = await tx
      .selectFrom("audit")
      .select(["sealed_seq", "hash"])
      .where("organization_id", "=", organizationId)
      .where("sealed_seq", "is not", null)
      .orderBy("sealed_seq", "desc")
      .limit(1)
      .executeTakeFirst();
    const rows = await tx
      .selectFrom("audit")
      .selectAll()
      .where("organization_id", "=", organizationId)
      .where("sealed_seq", "is", null)
      .orderBy("id")
      .limit(sealBatch)
      .execute();
    let seq = last?.sealed_seq ?? 0;
    let hash = last?.hash ?? firstHash;
    for (const row of rows) {
      seq += 1;
      hash = auditHash(hash, seq, row);
      await tx.updateTable("audit").set({ sealed_seq: seq, hash }).where("id", "=", row.id).execute();
    }
    return rows.length;
  });
}

/** Hash of one sealed row: sha256 over the hash before it and the row's canonical JSON. */
export function auditHash(
  previous: string,
  seq: number,
  row: {
    id: number;
    organization_id: string;
    principal_id: string | null;
    action: string;
    resource: string;
    decision: string;
    request_id: string;
    data: unknown;
    at: Date;
  },
): string {
  const body = canonicalJson({
    seq,
    id: row.id,
    organization: row.organization_id,
    principal: row.principal_id,
    action: row.action,
    resource: row.resource,
    decision: row.decision,
    request: row.request_id,
    data: row.data as never,
    at: row.at.toISOString(),
  });
  return createHash("sha256").update(previous).update(body).digest("hex");
}
