/** Snapshots of whole vApps. */
import type { Selectable } from "kysely";
import type { Database, Tx } from "#store/database.ts";
import type { SnapshotTable } from "#store/schema-core.ts";

export type SnapshotRow = Selectable<SnapshotTable>;

/** Living snapshots of some vApps, oldest first. */
export function snapshotList(db: Database, vappIds: readonly string[]) {
  return db
    .selectFrom("snapshot")
    .selectAll()
    .where("vapp_id", "in", vappIds.length === 0 ? ["00000000-0000-0000-0000-000000000000"] : [...vappIds])
    .where("released_at", "is", null)
    .orderBy("id")
    .execute();
}

export function snapshotByName(db: Database, vappId: string, name: string) {
  return db
    .selectFrom("snapshot")
    .selectAll()
    .where("vapp_id", "=", vappId)
    .where("name", "=", name)
    .where("released_at", "is", null)
    .executeTakeFirst();
}

export function snapshotInsert(
  tx: Tx,
  row: Pick<SnapshotRow, "id" | "organization_id" | "vapp_id" | "name" | "external_name" | "state"> & { machines: string },
) {
  return tx.insertInto("snapshot").values(row).execute();
}

export function snapshotUpdate(
  tx: Tx,
  id: string,
  set: Partial<Pick<SnapshotRow, "state" | "taken_at" | "released_at">> & { readonly machines?: string },
) {
  return tx.updateTable("snapshot").set(set).where("id", "=", id).execute();
}
