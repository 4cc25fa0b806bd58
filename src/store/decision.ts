/** What people decided where a run could not. */
import type { Insertable } from "kysely";
import type { Database, Tx } from "#store/database.ts";
import type { DecisionTable } from "#store/schema-core.ts";

/** False when somebody decided before. */
export async function decisionInsert(tx: Tx, row: Insertable<DecisionTable>): Promise<boolean> {
  const result = await tx
    .insertInto("decision")
    .values(row)
    .onConflict((c) => c.columns(["run_id", "step_id"]).doNothing())
    .executeTakeFirst();
  return (result.numInsertedOrUpdatedRows ?? 0n) > 0n;
}

export function decisionList(db: Database, runId: string) {
  return db
    .selectFrom("decision")
    .innerJoin("principal", "principal.id", "decision.principal_id")
    .selectAll("decision")
    .select("principal.name as principal_name")
    .where("run_id", "=", runId)
    .execute();
}

/** Steps of a run that wait, with what for. */
export function waitList(db: Database, runId: string) {
  return db.selectFrom("run_wait").selectAll().where("run_id", "=", runId).execute();
}
