/** What the layers view reads beside the rows of the vApp itself: who set what, what was handed over, what is charged, who may. */
import { sql } from "kysely";
import type { Database } from "#store/database.ts";

/** Orders the view looks back over; the deployment is always among them. */
const ordersMax = 50;

interface LayerOrderRow {
  readonly id: string;
  readonly run_id: string;
  readonly action: string;
  readonly principal_name: string;
  readonly state: "running" | "succeeded" | "compensated" | "failed";
  readonly created_at: Date;
  readonly verdicts: readonly { readonly decision: string; readonly reason: string }[];
  /** Generation of the vApp when the order was planned; null for a deployment. */
  readonly generation: number | null;
}

/** Newest first; the last one is the deployment. */
export async function layerOrders(db: Database, vappId: string): Promise<LayerOrderRow[]> {
  const rows = (order: "asc" | "desc", limit: number) =>
    db
      .selectFrom("order")
      .innerJoin("principal", "principal.id", "order.principal_id")
      .innerJoin("plan", "plan.id", "order.plan_id")
      .select(["order.id", "order.run_id", "order.action", "order.created_at", "principal.name as principal_name"])
      .select([
        sql<LayerOrderRow["state"]>`"order".state`.as("state"),
        sql<LayerOrderRow["verdicts"]>`plan.document->'policy'`.as("verdicts"),
        sql<number | null>`(plan.document->'resolved'->>'generation')::int`.as("generation"),
      ])
      .where("order.vapp_id", "=", vappId)
      .orderBy("order.id", order)
      .limit(limit)
      .execute();
  const newest = await rows("desc", ordersMax);
  return newest.length < ordersMax ? newest : [...newest, ...(await rows("asc", 1))];
}

/** Kinds of step that hand a machine its configuration. */
const configuring = () => sql`('context.apply', 'context.sync')`;

/**
 * For each kind of step and each thing it is about, the newest order whose plan has it. Orders that were taken back set nothing; repairs
 * bring back what others set, and count only where they hand over a configuration.
 */
export async function layerSetBy(
  db: Database,
  orderIds: readonly string[],
): Promise<{ kind: string; subject: string; order_id: string }[]> {
  if (orderIds.length === 0) return [];
  const result = await sql<{ kind: string; subject: string; order_id: string }>`
    select distinct on (kind, subject) kind, subject, order_id from (
      select o.id as order_id, s.step->>'kind' as kind,
             coalesce(s.step->'input'->>'snapshot', s.step->'input'->>'member', s.step->'input'->>'machine',
                      s.step->'input'->>'segment', s.step->'input'->>'exposure') as subject
        from "order" o join plan p on p.id = o.plan_id cross join lateral jsonb_array_elements(p.document->'steps') as s(step)
       where o.id = any(${[...orderIds]}::uuid[]) and o.state <> 'compensated' and (o.action <> 'repair' or s.step->>'kind' in ${configuring()})) as steps
     where subject is not null
     order by kind, subject, order_id desc`.execute(db);
  return result.rows;
}

/** The newest configuration each machine took, by the runs of these orders. */
export async function layerConfigured(
  db: Database,
  orderIds: readonly string[],
): Promise<{ machine: string; generation: number; at: Date; run_id: string }[]> {
  if (orderIds.length === 0) return [];
  const result = await sql<{ machine: string; generation: number; at: Date; run_id: string }>`
    select distinct on (machine) machine, generation, at, run_id from (
      select r.input->>'machine' as machine, (r.output->>'generation')::int as generation, r.finished_at as at, r.run_id
        from "order" o join run_step r on r.run_id = o.run_id
       where o.id = any(${[...orderIds]}::uuid[]) and r.kind in ${configuring()} and r.state = 'ok') as applied
     where machine is not null and generation is not null and at is not null
     order by machine, at desc`.execute(db);
  return result.rows;
}

/** Last ledger entry of every resource of the vApp. */
export function layerLedger(db: Database, vapp: { readonly id: string; readonly organization_id: string; readonly project_id: string }) {
  return db
    .selectFrom("ledger")
    .distinctOn("resource_id")
    .select(["resource_id", "name", "state", "effective_at"])
    .where("organization_id", "=", vapp.organization_id)
    .where("project_id", "=", vapp.project_id)
    .where("vapp_id", "=", vapp.id)
    .orderBy("resource_id")
    .orderBy("seq", "desc")
    .execute();
}

/** Names of principals with a grant that covers the project. */
export function layerGrants(db: Database, organizationId: string, projectId: string) {
  return db
    .selectFrom("role_grant")
    .innerJoin("principal", "principal.id", "role_grant.principal_id")
    .select(["principal.name as principal", "role_grant.role"])
    .where("role_grant.organization_id", "=", organizationId)
    .where((eb) => eb.or([eb("role_grant.project_id", "is", null), eb("role_grant.project_id", "=", projectId)]))
    .orderBy("principal.name")
    .limit(1_000)
    .execute();
}

export function layerEndpoints(db: Database, ids: readonly string[]) {
  return db
    .selectFrom("endpoint")
    .selectAll()
    .where("id", "in", ids.length === 0 ? ["00000000-0000-0000-0000-000000000000"] : [...ids])
    .orderBy("name")
    .execute();
}
