/** What samplers of health and network look at, and what they write about it. */
import { sql } from "kysely";
import type { Health } from "#domain/plan.ts";
import type { Database, Tx } from "#store/database.ts";

export interface HealthSubject {
  readonly id: string;
  readonly name: string;
  readonly vapp_id: string;
  readonly site_id: string;
  readonly health: Health;
  /** Name of its first segment at the fabric, and its address there. */
  readonly segment: string;
  readonly address: string;
  /** What is known now; null when nobody has looked. */
  readonly known: string | null;
  readonly known_at: Date | null;
}

/** Machines with a health check that are to run, seem to run, and that no run is changing; in order of their ids. */
export async function healthSubjects(db: Database, limit: number): Promise<HealthSubject[]> {
  const result = await sql<HealthSubject>`
    select m.id, m.name, m.vapp_id, v.site_id, m.spec->'health' as health, s.external_name as segment, host(a.address) as address,
           f.value #>> '{}' as known, f.observed_at as known_at
      from machine m
      join vapp v on v.id = m.vapp_id and v.run_id is null and v.deleted_at is null
      join segment s on s.vapp_id = m.vapp_id and s.name = m.spec->'segments'->>0 and s.released_at is null
      join address a on a.machine_id = m.id and a.segment_id = s.id
      left join fact f on f.subject_id = m.id and f.layer = 'application' and f.name = 'health'
     where m.released_at is null and m.state = 'running' and m.desired = 'running' and jsonb_typeof(m.spec->'health') = 'object'
     order by m.id limit ${limit}`.execute(db);
  return result.rows;
}

/** Of these machines, those that still run and that nobody else is changing, marked as seen well at that time. Answers which. */
export async function machinesSeenWell(tx: Tx, ids: readonly string[], at: Date): Promise<Set<string>> {
  const result = await sql<{ id: string }>`
    update machine set healthy_at = ${at} where id in (
      select id from machine where id = any(${[...ids]}::uuid[]) and released_at is null and state = 'running' and unhealthy_since is null
       order by id for no key update skip locked)
    returning id`.execute(tx);
  return new Set(result.rows.map(({ id }) => id));
}

/** Machines that run and have not answered their health check for a while, of vApps that are to run and that no run holds. */
export function machinesUnhealthy(db: Database, vappId?: string) {
  let query = db
    .selectFrom("machine")
    .innerJoin("vapp", "vapp.id", "machine.vapp_id")
    .select(["machine.id", "machine.name", "machine.vapp_id", "machine.unhealthy_since"])
    .where("machine.released_at", "is", null)
    .where("machine.state", "=", "running")
    .where("machine.desired", "=", "running")
    .where("machine.unhealthy_since", "is not", null)
    .where("vapp.run_id", "is", null)
    .where("vapp.deleted_at", "is", null);
  if (vappId !== undefined) query = query.where("machine.vapp_id", "=", vappId);
  return query.orderBy("machine.id").execute();
}

export interface NetworkSubject {
  readonly id: string;
  readonly site_id: string;
  readonly external_name: string;
  readonly vapp_id: string;
  readonly known: string | null;
  readonly known_at: Date | null;
}

/** Segments or exposures that were realised and that no run is changing, with the fact known about them. */
export async function networkSubjects(db: Database, table: "segment" | "exposure", limit: number): Promise<NetworkSubject[]> {
  const result = await sql<NetworkSubject>`
    select t.id, t.site_id, t.external_name, t.vapp_id, f.value::text as known, f.observed_at as known_at
      from ${sql.table(table)} t
      join vapp v on v.id = t.vapp_id and v.run_id is null and v.deleted_at is null
      left join fact f on f.subject_id = t.id and f.layer = 'network' and f.name = ${table}
     where t.released_at is null and t.state = 'realised'
     order by t.id limit ${limit}`.execute(db);
  return result.rows;
}

/** Which of them are still there, locked against release until the transaction ends. */
export async function networkHeld(tx: Tx, table: "segment" | "exposure", ids: readonly string[]): Promise<Set<string>> {
  const result = await sql<{ id: string }>`
    select id from ${sql.table(table)} where id = any(${[...ids]}::uuid[]) and released_at is null and state = 'realised'
     order by id for share skip locked`.execute(tx);
  return new Set(result.rows.map(({ id }) => id));
}

/** Facts of segments and exposures that are gone; their vApp's end did not know of them. */
export async function networkFactsForget(tx: Tx): Promise<void> {
  for (const table of ["segment", "exposure"] as const) {
    await sql`delete from fact f using ${sql.table(table)} t where f.subject_id = t.id and t.released_at is not null`.execute(tx);
  }
}

export interface BalancingMachine {
  readonly id: string;
  readonly name: string;
  readonly vapp_id: string;
  readonly known: string | null;
  readonly known_at: Date | null;
}

/** Machines that run and whose tier spreads requests, of vApps that no run is changing; with the members known. */
export async function balancingMachines(db: Database, limit: number): Promise<BalancingMachine[]> {
  const result = await sql<BalancingMachine>`
    select m.id, m.name, m.vapp_id, f.value::text as known, f.observed_at as known_at
      from machine m
      join vapp v on v.id = m.vapp_id and v.run_id is null and v.deleted_at is null
      left join fact f on f.subject_id = m.id and f.layer = 'application' and f.name = 'members'
     where m.released_at is null and m.state = 'running' and m.desired = 'running'
       and jsonb_path_exists(v.blueprint, '$.tiers[*] ? (@.name == $tier && @.balance != null)', jsonb_build_object('tier', m.tier))
     order by m.id limit ${limit}`.execute(db);
  return result.rows;
}
