/** What day-2 changes need: the state before an order in flight, sizes on their way, snapshots, the undo window of a delete. */
import { sql, type Kysely } from "kysely";

const statements = [
  // What the vApp was before the order that holds it; a compensated run brings it back. Null when no order is in flight.
  `alter table vapp add column before jsonb`,
  `alter table vapp add column delete_at timestamptz`,
  `create index vapp_delete_at on vapp (delete_at) where delete_at is not null and deleted_at is null`,
  // The specification an order in flight asks for; `spec` is what is true, and what is charged. vcpus and memory_mib are the larger of both.
  `alter table machine add column wanted jsonb`,
  // What differs from the specification at the endpoint, and since when a running machine does not answer its health check.
  `alter table machine add column drift jsonb`,
  `alter table machine add column unhealthy_since timestamptz`,
  // What people decided where a run could not: who, why, when.
  `create table decision (
     run_id uuid not null, step_id text not null, principal_id uuid not null references principal, decision text not null check (decision in ('confirm','refuse')),
     reason text not null, at timestamptz not null default now(), primary key (run_id, step_id))`,
  `create table snapshot (
     id uuid primary key, organization_id uuid not null, vapp_id uuid not null references vapp, name text not null, external_name text not null,
     machines jsonb not null, state text not null check (state in ('planned','realised','removed')),
     taken_at timestamptz, created_at timestamptz not null default now(), released_at timestamptz)`,
  `create unique index snapshot_name on snapshot (vapp_id, name) where released_at is null`,
];

export async function up(db: Kysely<unknown>): Promise<void> {
  for (const statement of statements) await sql.raw(statement).execute(db);
}
