/** Sites and endpoints, with what is promised on each endpoint. */
import { sql } from "kysely";
import type { Database, Tx } from "#store/database.ts";

export function siteList(db: Database) {
  return db.selectFrom("site").selectAll().orderBy("name").execute();
}

export function siteById(db: Database, id: string) {
  return db.selectFrom("site").selectAll().where("id", "=", id).executeTakeFirst();
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
      c.column("name").doUpdateSet({
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
    .groupBy(["endpoint.id", "site.name"])
    .orderBy("endpoint.name")
    .execute();
}

export function endpointById(db: Database, id: string) {
  return db.selectFrom("endpoint").selectAll().where("id", "=", id).executeTakeFirst();
}

export function endpointUpsert(
  tx: Tx,
  row: { id: string; organization_id: string; site_id: string; name: string; provider: string; config: string },
) {
  return tx
    .insertInto("endpoint")
    .values(row)
    .onConflict((c) =>
      c.column("name").doUpdateSet({
        site_id: row.site_id,
        provider: row.provider,
        config: row.config,
        generation: sql<number>`endpoint.generation + 1`,
      }),
    )
    .returning(["id", "generation"])
    .executeTakeFirstOrThrow();
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
