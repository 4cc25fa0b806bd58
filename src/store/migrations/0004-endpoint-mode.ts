/** Endpoints that are only observed, endpoints and sites that were removed, sealed credentials, what of others was seen where, and copies of images. */
import { sql, type Kysely } from "kysely";

const statements = [
  `alter table endpoint add column mode text not null default 'manage' check (mode in ('manage','observe'))`,
  // Secret members of the configuration, sealed; `config` has the rest.
  `alter table endpoint add column sealed bytea`,
  // Released machines name their endpoint and site for ever, so rows stay; names are free again.
  `alter table endpoint add column removed_at timestamptz`,
  `alter table site add column removed_at timestamptz`,
  `alter table endpoint drop constraint endpoint_name_key`,
  `alter table site drop constraint site_name_key`,
  `create unique index endpoint_name on endpoint (name) where removed_at is null`,
  `create unique index site_name on site (name) where removed_at is null`,
  `create table inventory (
     id bigint generated always as identity primary key, endpoint_id uuid not null references endpoint, external_id text not null,
     name text not null, item jsonb not null, first_seen timestamptz not null, last_seen timestamptz not null, gone_at timestamptz,
     unique (endpoint_id, external_id))`,
  `create index inventory_list on inventory (endpoint_id, id)`,
  // Copies of images that endpoints keep, as last seen there.
  `create table image_copy (
     endpoint_id uuid not null references endpoint, digest text not null, size_bytes bigint not null, seen_at timestamptz not null,
     primary key (endpoint_id, digest))`,
];

export async function up(db: Kysely<unknown>): Promise<void> {
  for (const statement of statements) await sql.raw(statement).execute(db);
}
