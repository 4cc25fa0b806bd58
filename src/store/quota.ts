/** Quota balances of projects: one row a dimension. The table's CHECK is the last word on every change (I1). */
import { assert } from "#domain/error.ts";
import { quotaDimensions, type QuotaBalance, type QuotaDimension } from "#domain/quota.ts";
import type { Database, Tx } from "#store/database.ts";

export async function quotaRead(db: Database, projectId: string): Promise<QuotaBalance> {
  return balanceOf(await rows(db, projectId).execute());
}

/** Under lock, in the one order everybody locks them: no deadlock. */
export async function quotaLock(tx: Tx, projectId: string): Promise<QuotaBalance> {
  return balanceOf(await rows(tx, projectId).forUpdate().execute());
}

/** Writes the dimensions that changed. The rows must be locked. */
export async function quotaWrite(tx: Tx, projectId: string, before: QuotaBalance, after: QuotaBalance): Promise<void> {
  for (const dimension of quotaDimensions) {
    const used = after.reserved[dimension];
    if (used === before.reserved[dimension]) continue;
    await tx.updateTable("quota_balance").set({ used }).where("project_id", "=", projectId).where("dimension", "=", dimension).execute();
  }
}

function rows(db: Database, projectId: string) {
  return db.selectFrom("quota_balance").selectAll().where("project_id", "=", projectId).orderBy("dimension");
}

function balanceOf(found: readonly { dimension: string; used: number; quota: number }[]): QuotaBalance {
  const quota: Partial<Record<QuotaDimension, number>> = {};
  const reserved: Partial<Record<QuotaDimension, number>> = {};
  for (const dimension of quotaDimensions) {
    const row = found.find((candidate) => candidate.dimension === dimension);
    assert(row !== undefined, `a project has a balance of ${dimension}`);
    quota[dimension] = row.quota;
    reserved[dimension] = row.used;
  }
  return { quota, reserved } as QuotaBalance;
}
