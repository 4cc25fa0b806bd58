/** Orders, and runs as people see them. */
import { sql } from "kysely";
import type { Database, Tx } from "#store/database.ts";

export function orderInsert(
  tx: Tx,
  row: {
    id: string;
    organization_id: string;
    project_id: string;
    principal_id: string;
    plan_id: string;
    vapp_id: string;
    run_id: string;
    action: string;
    summary: string;
    bounds: string;
  },
) {
  return tx.insertInto("order").values(row).execute();
}

export function orderFinish(tx: Tx, runId: string, state: "succeeded" | "compensated" | "failed") {
  return tx
    .updateTable("order")
    .set({ state, finished_at: sql<Date>`now()` })
    .where("run_id", "=", runId)
    .returningAll()
    .executeTakeFirst();
}

function orders(db: Database) {
  return db
    .selectFrom("order")
    .innerJoin("project", "project.id", "order.project_id")
    .innerJoin("principal", "principal.id", "order.principal_id")
    .innerJoin("vapp", "vapp.id", "order.vapp_id")
    .selectAll("order")
    .select(["project.name as project_name", "principal.name as principal_name", "vapp.name as vapp_name"]);
}

export type OrderRow = NonNullable<Awaited<ReturnType<typeof orderById>>>;

export function orderById(db: Database, id: string) {
  return orders(db).where("order.id", "=", id).executeTakeFirst();
}

export function orderByRun(db: Database, runId: string) {
  return orders(db).where("order.run_id", "=", runId).executeTakeFirst();
}

export function orderList(db: Database, filter: { organizationId: string; vappId?: string; after?: string; limit: number }) {
  let query = orders(db).where("order.organization_id", "=", filter.organizationId);
  if (filter.vappId !== undefined) query = query.where("order.vapp_id", "=", filter.vappId);
  if (filter.after !== undefined) query = query.where("order.id", "<", filter.after);
  return query.orderBy("order.id", "desc").limit(filter.limit).execute();
}

/** Who ordered the vApp: its owner. */
export async function orderOwner(db: Database, vappId: string): Promise<string | null> {
  const row = await db.selectFrom("order").select("principal_id").where("vapp_id", "=", vappId).orderBy("id").limit(1).executeTakeFirst();
  return row?.principal_id ?? null;
}

/** Orders of one principal for one vApp since a time: the history automation's bounds look at (I4). */
export function orderHistory(db: Database, filter: { vappId: string; principalId: string; action: string; since: Date }) {
  return db
    .selectFrom("order")
    .select(["created_at", "finished_at", "state"])
    .where("vapp_id", "=", filter.vappId)
    .where("principal_id", "=", filter.principalId)
    .where("action", "=", filter.action)
    .where("created_at", ">=", filter.since)
    .orderBy("created_at", "desc")
    .execute();
}

export function runById(db: Database, id: string) {
  return db.selectFrom("run").selectAll().where("id", "=", id).executeTakeFirst();
}

export function runSteps(db: Database, runId: string) {
  return db.selectFrom("run_step").selectAll().where("run_id", "=", runId).orderBy("ordinal").execute();
}
