/** Tenancy, catalogue, places, realised things, money and evidence. Organization first in every key a tenant lists by. */
import { sql, type Kysely } from "kysely";

const statements = [
  `create table installation (
     one boolean primary key default true check (one),
     id uuid not null, created_at timestamptz not null default now())`,
  `create table organization (id uuid primary key, name text not null unique, created_at timestamptz not null default now())`,
  `create table project (
     id uuid primary key, organization_id uuid not null references organization, name text not null,
     prefix_pool cidr not null, created_at timestamptz not null default now(), unique (organization_id, name))`,
  `create table principal (
     id uuid primary key, organization_id uuid not null references organization, name text not null,
     kind text not null check (kind in ('person','service')), created_at timestamptz not null default now(), unique (organization_id, name))`,
  `create table token (
     hash bytea primary key, principal_id uuid not null references principal, name text not null,
     created_at timestamptz not null default now(), expires_at timestamptz, revoked_at timestamptz)`,
  `create table role_grant (
     id uuid primary key, organization_id uuid not null references organization, principal_id uuid not null references principal,
     role text not null check (role in ('admin','member','automation')), project_id uuid references project,
     created_at timestamptz not null default now(), unique nulls not distinct (principal_id, role, project_id))`,
  `create table policy (
     id uuid primary key, organization_id uuid references organization, name text not null unique, document text not null,
     generation int not null default 1, created_at timestamptz not null default now())`,
  `create table offering (
     id uuid primary key, organization_id uuid not null references organization, name text not null, version text not null,
     document jsonb not null, digest text not null, created_at timestamptz not null default now(), unique (organization_id, name, version))`,
  `create table image (
     id uuid primary key, organization_id uuid not null references organization, name text not null unique, recipe_hash text not null,
     created_at timestamptz not null default now())`,
  `create table image_variant (
     image_id uuid not null references image on delete cascade, format text not null, digest text not null, size_bytes bigint not null,
     path text, primary key (image_id, format))`,
  `create table site (
     id uuid primary key, organization_id uuid not null references organization, name text not null unique,
     kind text not null check (kind in ('own','partner','public')), location text not null,
     fabric_kind text not null, fabric_config jsonb not null, generation int not null default 1, created_at timestamptz not null default now())`,
  `create table endpoint (
     id uuid primary key, organization_id uuid not null references organization, site_id uuid not null references site,
     name text not null unique, provider text not null, config jsonb not null,
     state text not null default 'unchecked' check (state in ('unchecked','ready','unreachable')),
     description jsonb, checked_at timestamptz, generation int not null default 1, created_at timestamptz not null default now())`,
  `create table rate_card (
     id uuid primary key, organization_id uuid not null references organization, name text not null, document jsonb not null,
     created_at timestamptz not null default now(), unique (organization_id, name))`,
  `create table quota_balance (
     project_id uuid not null references project, dimension text not null, used bigint not null default 0, quota bigint not null,
     primary key (project_id, dimension), check (used >= 0), check (used <= quota))`,
  `create table plan (
     id uuid primary key, organization_id uuid not null, project_id uuid not null, principal_id uuid not null, action text not null,
     vapp_id uuid, input jsonb not null, document jsonb not null, hash text not null,
     created_at timestamptz not null default now(), expires_at timestamptz not null)`,
  `create table vapp (
     id uuid primary key, organization_id uuid not null references organization, project_id uuid not null references project,
     site_id uuid not null references site, name text not null, offering_id uuid not null references offering, parameters jsonb not null,
     blueprint jsonb not null, desired text not null check (desired in ('running','stopped','deleted')),
     state text not null check (state in ('provisioning','active','degraded','stopped','changing','deleting','deleted','failed')),
     generation int not null default 1, event_seq int not null default 0, run_id uuid, created_at timestamptz not null default now(), deleted_at timestamptz)`,
  `create unique index vapp_name on vapp (project_id, name) where deleted_at is null`,
  `create index vapp_list on vapp (organization_id, id)`,
  `create table "order" (
     id uuid primary key, organization_id uuid not null, project_id uuid not null, principal_id uuid not null references principal,
     plan_id uuid not null references plan, vapp_id uuid not null references vapp, run_id uuid not null unique, action text not null,
     summary text not null, bounds jsonb not null, state text not null default 'running' check (state in ('running','succeeded','compensated','failed')),
     created_at timestamptz not null default now(), finished_at timestamptz)`,
  `create index order_list on "order" (organization_id, id)`,
  `create index order_vapp on "order" (vapp_id, id)`,
  `create table machine (
     id uuid primary key, organization_id uuid not null, vapp_id uuid not null references vapp, endpoint_id uuid not null references endpoint,
     name text not null, tier text not null, ordinal int not null, kind text not null check (kind in ('vm','container')),
     image text not null, image_digest text not null, external_name text not null, size text not null, vcpus int not null, memory_mib int not null,
     spec jsonb not null, reason text not null, desired text not null check (desired in ('running','stopped','deleted')),
     state text not null check (state in ('planned','running','stopped','paused','crashed','missing','unknown','deleted')),
     state_at timestamptz not null default now(), healthy_at timestamptz, ledger_seq int not null default 0, created_at timestamptz not null default now(), released_at timestamptz)`,
  `create unique index machine_name on machine (vapp_id, name) where released_at is null`,
  `create unique index machine_external on machine (endpoint_id, external_name) where released_at is null`,
  `create table segment (
     id uuid primary key, organization_id uuid not null, vapp_id uuid not null references vapp, site_id uuid not null references site, name text not null,
     external_name text not null, isolated boolean not null, prefix cidr, gateway inet, attachment text,
     state text not null check (state in ('planned','realised','removed')), ledger_seq int not null default 0, created_at timestamptz not null default now(), released_at timestamptz)`,
  `create unique index segment_name on segment (vapp_id, name) where released_at is null`,
  `create unique index segment_external on segment (site_id, external_name) where released_at is null`,
  `create unique index segment_prefix on segment (prefix) where prefix is not null`,
  `create table address (
     segment_id uuid not null references segment, machine_id uuid not null references machine, address inet not null, mac text not null,
     primary key (segment_id, machine_id), unique (segment_id, address))`,
  `create table exposure (
     id uuid primary key, organization_id uuid not null, vapp_id uuid not null references vapp, site_id uuid not null references site,
     machine_id uuid not null references machine, segment_id uuid not null references segment, name text not null, external_name text not null,
     target_port int not null, address text, port int, state text not null check (state in ('planned','realised','removed')),
     ledger_seq int not null default 0, created_at timestamptz not null default now(), released_at timestamptz)`,
  `create unique index exposure_name on exposure (vapp_id, name) where released_at is null`,
  `create table secret (
     id uuid primary key, organization_id uuid not null, vapp_id uuid not null references vapp, name text not null, ciphertext bytea not null,
     created_at timestamptz not null default now(), unique (vapp_id, name))`,
  `create table fact (
     subject_id uuid not null, layer text not null, name text not null, value jsonb not null, source text not null, observed_at timestamptz not null,
     primary key (subject_id, layer, name))`,
  `create table event (
     id uuid primary key, organization_id uuid not null, vapp_id uuid references vapp, seq int, position bigint unique, type text not null, subject text not null,
     data jsonb not null, at timestamptz not null default now(), unique (vapp_id, seq))`,
  `create index event_unsequenced on event (id) where position is null`,
  `create table ledger (
     organization_id uuid not null, project_id uuid not null, vapp_id uuid not null, resource_id uuid not null, seq int not null,
     kind text not null, name text not null, size jsonb not null, state text not null, source text not null,
     effective_at timestamptz not null, recorded_at timestamptz not null default now(), primary key (resource_id, seq))`,
  `create index ledger_project on ledger (organization_id, project_id, effective_at)`,
  `create table audit (
     id bigint generated always as identity primary key, organization_id uuid not null, principal_id uuid, action text not null, resource text not null,
     decision text not null, reason text not null, request_id text not null, data jsonb not null, at timestamptz not null default now(),
     sealed_seq bigint, hash text, unique (organization_id, sealed_seq))`,
  `create index audit_unsealed on audit (organization_id, id) where sealed_seq is null`,
  `create table idempotency_key (
     principal_id uuid not null, key text not null, request_hash text not null, status int, response jsonb, created_at timestamptz not null default now(),
     primary key (principal_id, key))`,
  `create table request_log (
     id text primary key, principal_id uuid, method text not null, route text not null, status int not null, duration_ms int not null, at timestamptz not null default now())`,
];

export async function up(db: Kysely<unknown>): Promise<void> {
  for (const statement of statements) await sql.raw(statement).execute(db);
}
