/** Plans: the only thing planning writes (I3). */
import type { Database } from "#store/database.ts";

export interface PlanRow {
  readonly id: string;
  readonly organization_id: string;
  readonly project_id: string;
  readonly principal_id: string;
  readonly action: string;
  readonly vapp_id: string | null;
  readonly input: string;
  readonly document: string;
  readonly hash: string;
  readonly expires_at: Date;
}

export function planInsert(db: Database, row: PlanRow) {
  return db.insertInto("plan").values(row).returning("created_at").executeTakeFirstOrThrow();
}

export function planById(db: Database, id: string) {
  return db.selectFrom("plan").selectAll().where("id", "=", id).executeTakeFirst();
}
