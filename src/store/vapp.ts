/** vApps and what they are made of: machines, segments, addresses, exposures, secrets, facts. */
import { sql, type RawBuilder, type Selectable } from "kysely";
import type { QuotaDimension } from "#domain/quota.ts";
import type { FactInput } from "#domain/change.ts";
import type { Database, Tx } from "#store/database.ts";
import type { ExposureTable, MachineTable, SegmentTable, VappTable } from "#store/schema-core.ts";

export type VappRow = Selectable<VappTable>;
export type MachineRow = Selectable<MachineTable>;
export type SegmentRow = Selectable<SegmentTable>;
export type ExposureRow = Selectable<ExposureTable>;

const now = sql<Date>`now()`;

export function vappById(db: Database, id: string) {
  return db.selectFrom("vapp").selectAll().where("id", "=", id).executeTakeFirst();
}

/** The living vApp of that name. */
export function vappByName(db: Database, organizationId: string, name: string) {
  return db
    .selectFrom("vapp")
    .selectAll()
    .where("organization_id", "=", organizationId)
    .where("name", "=", name)
    .where("deleted_at", "is", null)
    .executeTakeFirst();
}

export function vappLock(tx: Tx, id: string) {
  return tx.selectFrom("vapp").selectAll().where("id", "=", id).forUpdate().executeTakeFirst();
}

export function vappList(
  db: Database,
  filter: { organizationId: string; projectIds?: readonly string[]; after?: string; limit: number; deleted: boolean },
) {
  let query = db.selectFrom("vapp").selectAll().where("organization_id", "=", filter.organizationId);
  if (filter.projectIds !== undefined) query = query.where("project_id", "in", [...filter.projectIds]);
  if (!filter.deleted) query = query.where("deleted_at", "is", null);
  if (filter.after !== undefined) query = query.where("id", ">", filter.after);
  return query.orderBy("id").limit(filter.limit).execute();
}

export function vappInsert(
  tx: Tx,
  row: Pick<VappRow, "id" | "organization_id" | "project_id" | "site_id" | "name" | "offering_id" | "desired" | "state" | "run_id"> & {
    parameters: string;
    blueprint: string;
  },
) {
  return tx.insertInto("vapp").values(row).execute();
}

export function vappUpdate(
  tx: Tx,
  id: string,
  set: Partial<Pick<VappRow, "desired" | "state" | "run_id" | "deleted_at" | "delete_at">> & {
    bump?: boolean;
    before?: string | null;
    blueprint?: string;
    parameters?: string;
  },
) {
  const { bump = false, ...columns } = set;
  return tx
    .updateTable("vapp")
    .set((eb) => ({ ...columns, ...(bump ? { generation: eb("generation", "+", 1) } : {}) }))
    .where("id", "=", id)
    .execute();
}

/** Living machines of some vApps, in start order of their names. */
export function machineList(db: Database, vappIds: readonly string[]) {
  return machinesLiving(db)
    .where("machine.vapp_id", "in", vappIds.length === 0 ? ["00000000-0000-0000-0000-000000000000"] : [...vappIds])
    .orderBy("machine.tier")
    .orderBy("machine.ordinal")
    .execute();
}

function machinesLiving(db: Database) {
  return db
    .selectFrom("machine")
    .innerJoin("endpoint", "endpoint.id", "machine.endpoint_id")
    .innerJoin("site", "site.id", "endpoint.site_id")
    .innerJoin("vapp", "vapp.id", "machine.vapp_id")
    .selectAll("machine")
    .select(["endpoint.name as endpoint_name", "endpoint.provider", "site.name as site_name", "vapp.name as vapp_name"])
    .where("machine.released_at", "is", null);
}

/** A page of an organization's living machines, or of one vApp's, in order of their ids. */
export function machinePage(db: Database, filter: { organizationId: string; vappId?: string; after?: string; limit: number }) {
  let query = machinesLiving(db).where("machine.organization_id", "=", filter.organizationId);
  if (filter.vappId !== undefined) query = query.where("machine.vapp_id", "=", filter.vappId);
  if (filter.after !== undefined) query = query.where("machine.id", ">", filter.after);
  return query.orderBy("machine.id").limit(filter.limit).execute();
}

export function machineByName(db: Database, vappId: string, name: string) {
  return db
    .selectFrom("machine")
    .selectAll()
    .where("vapp_id", "=", vappId)
    .where("name", "=", name)
    .where("released_at", "is", null)
    .executeTakeFirst();
}

/** Machines of an endpoint that are still ours, for samplers and reconcilers. */
export function machinesOfEndpoint(db: Database, endpointId: string) {
  return db.selectFrom("machine").selectAll().where("endpoint_id", "=", endpointId).where("released_at", "is", null).execute();
}

/**
 * Which of these machines are there and nobody else is changing now, locked against release until the transaction ends. What is
 * learned about a machine may be written only for these: a fact that outlives its machine would never be removed.
 */
export async function machinesHeld(tx: Tx, ids: readonly string[]): Promise<Set<string>> {
  if (ids.length === 0) return new Set();
  const rows = await tx
    .selectFrom("machine")
    .select("id")
    .where("id", "in", [...ids])
    .where("released_at", "is", null)
    .where("state", "<>", "deleted")
    .forShare()
    .skipLocked()
    .execute();
  return new Set(rows.map(({ id }) => id));
}

export function machineInsert(
  tx: Tx,
  row: Pick<
    MachineRow,
    | "id"
    | "organization_id"
    | "vapp_id"
    | "endpoint_id"
    | "name"
    | "tier"
    | "ordinal"
    | "kind"
    | "image"
    | "image_digest"
    | "external_name"
    | "size"
    | "vcpus"
    | "memory_mib"
    | "reason"
    | "desired"
    | "state"
  > & { spec: string },
) {
  return tx.insertInto("machine").values(row).execute();
}

export function machineUpdate(
  tx: Tx,
  id: string,
  set: Partial<
    Pick<MachineRow, "state" | "desired" | "healthy_at" | "released_at" | "state_at" | "size" | "vcpus" | "memory_mib" | "unhealthy_since">
  > & {
    spec?: string;
    wanted?: string | null;
    drift?: string | null;
  },
) {
  return tx.updateTable("machine").set(set).where("id", "=", id).execute();
}

export function segmentList(db: Database, vappIds: readonly string[]) {
  return db
    .selectFrom("segment")
    .selectAll()
    .where("vapp_id", "in", vappIds.length === 0 ? ["00000000-0000-0000-0000-000000000000"] : [...vappIds])
    .where("released_at", "is", null)
    .orderBy("name")
    .execute();
}

export function segmentInsert(
  tx: Tx,
  row: Pick<SegmentRow, "id" | "organization_id" | "vapp_id" | "site_id" | "name" | "external_name" | "isolated" | "state">,
) {
  return tx.insertInto("segment").values(row).execute();
}

export function segmentUpdate(
  tx: Tx,
  id: string,
  set: Partial<Pick<SegmentRow, "state" | "attachment" | "prefix" | "gateway" | "released_at">>,
) {
  return tx.updateTable("segment").set(set).where("id", "=", id).execute();
}

export function exposureList(db: Database, vappIds: readonly string[]) {
  return db
    .selectFrom("exposure")
    .selectAll()
    .where("vapp_id", "in", vappIds.length === 0 ? ["00000000-0000-0000-0000-000000000000"] : [...vappIds])
    .where("released_at", "is", null)
    .orderBy("name")
    .execute();
}

export function exposureInsert(
  tx: Tx,
  row: Pick<
    ExposureRow,
    "id" | "organization_id" | "vapp_id" | "site_id" | "machine_id" | "segment_id" | "name" | "external_name" | "target_port" | "state"
  >,
) {
  return tx.insertInto("exposure").values(row).execute();
}

export function exposureUpdate(tx: Tx, id: string, set: Partial<Pick<ExposureRow, "state" | "address" | "port" | "released_at">>) {
  return tx.updateTable("exposure").set(set).where("id", "=", id).execute();
}

export function addressList(db: Database, machineIds: readonly string[]) {
  return db
    .selectFrom("address")
    .innerJoin("segment", "segment.id", "address.segment_id")
    .innerJoin("machine", "machine.id", "address.machine_id")
    .select([
      "address.machine_id",
      "address.segment_id",
      sql<string>`host(address.address)`.as("address"),
      "address.mac",
      "segment.name as segment_name",
      "machine.name as machine_name",
    ])
    .where("address.machine_id", "in", machineIds.length === 0 ? ["00000000-0000-0000-0000-000000000000"] : [...machineIds])
    .orderBy("segment.name")
    .execute();
}

/** The NICs some machines are to have, with what their segments are called at the site. */
export function nicList(db: Database, machineIds: readonly string[]) {
  return db
    .selectFrom("address")
    .innerJoin("segment", "segment.id", "address.segment_id")
    .select(["address.machine_id", "address.mac", "segment.attachment"])
    .where("address.machine_id", "in", machineIds.length === 0 ? ["00000000-0000-0000-0000-000000000000"] : [...machineIds])
    .execute();
}

export function secretInsert(tx: Tx, row: { id: string; organization_id: string; vapp_id: string; name: string; ciphertext: Buffer }) {
  return tx.insertInto("secret").values(row).execute();
}

export function secretList(db: Database, vappId: string) {
  return db.selectFrom("secret").selectAll().where("vapp_id", "=", vappId).execute();
}

export function secretsDelete(tx: Tx, vappId: string) {
  return tx.deleteFrom("secret").where("vapp_id", "=", vappId).execute();
}

const factsPerStatement = 500;

/** Newest observation wins; one made earlier than what is stored changes nothing. */
export async function factPutMany(
  tx: Tx,
  facts: readonly { readonly subjectId: string; readonly fact: FactInput }[],
  observedAt: Date,
): Promise<void> {
  for (let from = 0; from < facts.length; from += factsPerStatement) {
    await tx
      .insertInto("fact")
      .values(
        facts.slice(from, from + factsPerStatement).map(({ subjectId, fact }) => ({
          subject_id: subjectId,
          layer: fact.layer,
          name: fact.name,
          value: JSON.stringify(fact.value),
          source: fact.source,
          observed_at: observedAt,
        })),
      )
      .onConflict((c) =>
        c
          .columns(["subject_id", "layer", "name"])
          .doUpdateSet((eb) => ({
            value: eb.ref("excluded.value"),
            source: eb.ref("excluded.source"),
            observed_at: eb.ref("excluded.observed_at"),
          }))
          .where("fact.observed_at", "<=", observedAt),
      )
      .execute();
  }
}

export function factList(db: Database, subjectIds: readonly string[]) {
  return db
    .selectFrom("fact")
    .selectAll()
    .where("subject_id", "in", subjectIds.length === 0 ? ["00000000-0000-0000-0000-000000000000"] : [...subjectIds])
    .orderBy("layer")
    .orderBy("name")
    .execute();
}

export function factDelete(tx: Tx, subjectId: string) {
  return tx.deleteFrom("fact").where("subject_id", "=", subjectId).execute();
}

export { now as databaseTime };

/** The next vApps after an id that are not as desired and that no run holds. One that failed is tried again: bounds say how often. */
export function vappsToRepair(db: Database, after: string, limit: number) {
  return db
    .selectFrom("vapp")
    .selectAll()
    .where("id", ">", after)
    .where("deleted_at", "is", null)
    .where("desired", "=", "running")
    .where("run_id", "is", null)
    .where("state", "in", ["degraded", "failed"])
    .orderBy("id")
    .limit(limit)
    .execute();
}

/** What the living objects of a project take of each dimension of its quota. */
export function takenByProject(db: Database, projectId: string): Promise<Record<QuotaDimension, number>> {
  return takenBy(db, sql`(select id from vapp where project_id = ${projectId})`);
}

/** What one vApp takes. */
export function takenByVapp(db: Database, vappId: string): Promise<Record<QuotaDimension, number>> {
  return takenBy(db, sql`(select ${vappId}::uuid)`);
}

async function takenBy(db: Database, vapps: RawBuilder<unknown>): Promise<Record<QuotaDimension, number>> {
  const result = await sql<Record<QuotaDimension, number>>`
    select
      (select count(*)::int from machine where vapp_id in ${vapps} and released_at is null) as machines,
      (select coalesce(sum(vcpus), 0)::int from machine where vapp_id in ${vapps} and released_at is null) as vcpus,
      (select coalesce(sum(memory_mib), 0)::int from machine where vapp_id in ${vapps} and released_at is null) as "memoryMiB",
      (select count(*)::int from segment where vapp_id in ${vapps} and released_at is null) as segments,
      (select count(*)::int from exposure where vapp_id in ${vapps} and released_at is null) as exposures`.execute(db);
  return result.rows[0]!;
}

/** vApps whose undo window is over and that no run holds. */
export function vappsToPurge(db: Database, at: Date, limit: number) {
  return db
    .selectFrom("vapp")
    .selectAll()
    .where("delete_at", "<=", at)
    .where("deleted_at", "is", null)
    .where("run_id", "is", null)
    .orderBy("delete_at")
    .limit(limit)
    .execute();
}

/** Whether the row is released; null when there is none. */
export function machineReleased(db: Database, id: string): Promise<boolean | null> {
  return released(db, "machine", id);
}

export function segmentReleased(db: Database, id: string): Promise<boolean | null> {
  return released(db, "segment", id);
}

export function exposureReleased(db: Database, id: string): Promise<boolean | null> {
  return released(db, "exposure", id);
}

async function released(db: Database, table: "machine" | "segment" | "exposure", id: string): Promise<boolean | null> {
  const row = await db.selectFrom(table).select("released_at").where("id", "=", id).executeTakeFirst();
  return row === undefined ? null : row.released_at !== null;
}
