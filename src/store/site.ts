/** Sites and endpoints, with what is promised on each endpoint. Removed ones keep their rows, and are never listed. */
import { sql, type Selectable } from "kysely";
import type { Database, Tx } from "#store/database.ts";
import type { EndpointTable } from "#store/schema-core.ts";

export function siteList(db: Database) {
  return db.selectFrom("site").selectAll().where("removed_at", "is", null).orderBy("name").execute();
}

export function siteById(db: Database, id: string) {
  return db.selectFrom("site").selectAll().where("id", "=", id).where("removed_at", "is", null).executeTakeFirst();
}

export function siteUpsert(
  tx: Tx,
  row: {
    id: string;
    organization_id: string;
    name: string;
    kind: "own" | "partner" | "public";
    location: string;
    fabric_kind: string;
    fabric_config: string;
  },
) {
  return tx
    .insertInto("site")
    .values(row)
    .onConflict((c) =>
      c
        .column("name")
        .where("removed_at", "is", null)
        .doUpdateSet({
          kind: row.kind,
          location: row.location,
          fabric_kind: row.fabric_kind,
          fabric_config: row.fabric_config,
          generation: sql<number>`site.generation + 1`,
        }),
    )
    .returning(["id", "generation"])
    .executeTakeFirstOrThrow();
}

export function siteRemove(tx: Tx, id: string) {
  return tx
    .updateTable("site")
    .set({ removed_at: sql<Date>`now()`, fabric_config: "{}" })
    .where("id", "=", id)
    .execute();
}

/** What keeps a site: its endpoints, and the vApps whose networks are there. */
export async function siteHeldBy(tx: Tx, id: string): Promise<{ endpoints: string[]; vapps: string[] }> {
  const endpoints = await tx.selectFrom("endpoint").select("name").where("site_id", "=", id).where("removed_at", "is", null).execute();
  const vapps = await tx.selectFrom("vapp").select("name").where("site_id", "=", id).where("deleted_at", "is", null).execute();
  return { endpoints: endpoints.map(({ name }) => name).sort(), vapps: vapps.map(({ name }) => name).sort() };
}

export function endpointList(db: Database) {
  return db
    .selectFrom("endpoint")
    .innerJoin("site", "site.id", "endpoint.site_id")
    .leftJoin("machine", (join) => join.onRef("machine.endpoint_id", "=", "endpoint.id").on("machine.released_at", "is", null))
    .selectAll("endpoint")
    .select((eb) => [
      "site.name as site_name",
      eb.fn.count<number>("machine.id").as("machine_count"),
      eb.fn.coalesce(eb.fn.sum<number>("machine.vcpus"), sql<number>`0`).as("used_vcpus"),
      eb.fn.coalesce(eb.fn.sum<number>("machine.memory_mib"), sql<number>`0`).as("used_memory_mib"),
      sql<number>`count(machine.id) filter (where machine.kind = 'vm')`.as("vm_count"),
    ])
    .where("endpoint.removed_at", "is", null)
    .groupBy(["endpoint.id", "site.name"])
    .orderBy("endpoint.name")
    .execute();
}

export type EndpointRow = Awaited<ReturnType<typeof endpointList>>[number];

export function endpointById(db: Database, id: string) {
  return db.selectFrom("endpoint").selectAll().where("id", "=", id).where("removed_at", "is", null).executeTakeFirst();
}

export function endpointUpsert(
  tx: Tx,
  row: Pick<Selectable<EndpointTable>, "id" | "organization_id" | "site_id" | "name" | "provider"> &
    Partial<Pick<Selectable<EndpointTable>, "mode" | "sealed">> & { config: string },
) {
  return tx
    .insertInto("endpoint")
    .values(row)
    .onConflict((c) =>
      c
        .column("name")
        .where("removed_at", "is", null)
        .doUpdateSet({
          site_id: row.site_id,
          provider: row.provider,
          config: row.config,
          mode: row.mode ?? "manage",
          sealed: row.sealed ?? null,
          generation: sql<number>`endpoint.generation + 1`,
        }),
    )
    .returning(["id", "generation"])
    .executeTakeFirstOrThrow();
}

/** The row stays for the machines that were there; how to get there is forgotten, and so is what was seen of others. */
export async function endpointRemove(tx: Tx, id: string): Promise<void> {
  await tx.deleteFrom("inventory").where("endpoint_id", "=", id).execute();
  await tx.deleteFrom("image_copy").where("endpoint_id", "=", id).execute();
  await tx
    .updateTable("endpoint")
    .set({ removed_at: sql<Date>`now()`, config: "{}", sealed: null })
    .where("id", "=", id)
    .execute();
}

/** Machines of ours at an endpoint, as `vapp/machine`. */
export async function endpointHolds(tx: Tx, id: string): Promise<string[]> {
  const rows = await tx
    .selectFrom("machine")
    .innerJoin("vapp", "vapp.id", "machine.vapp_id")
    .select(["vapp.name as vapp", "machine.name"])
    .where("machine.endpoint_id", "=", id)
    .where("machine.released_at", "is", null)
    .orderBy("vapp.name")
    .orderBy("machine.name")
    .execute();
  return rows.map(({ vapp, name }) => `${vapp}/${name}`);
}

export function endpointDescribed(tx: Tx, id: string, description: object) {
  return tx
    .updateTable("endpoint")
    .set({ state: "ready", description: JSON.stringify(description), checked_at: sql<Date>`now()` })
    .where("id", "=", id)
    .execute();
}

export function endpointUnreachable(tx: Tx, id: string) {
  return tx
    .updateTable("endpoint")
    .set({ state: "unreachable", checked_at: sql<Date>`now()` })
    .where("id", "=", id)
    .execute();
}
