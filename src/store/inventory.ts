/**
 * What was seen at endpoints beside our machines: machines of others, a row each, with when it was first and last seen and when it was found
 * gone; and the copies of images that lie there.
 */
import type { Database, Tx } from "#store/database.ts";

const rowsPerStatement = 500;

export interface InventorySeen {
  readonly externalId: string;
  readonly name: string;
  readonly item: object;
}

/** Writes one look at an endpoint: everything that was there, and which known ones are gone. A look older than what is known changes nothing. */
export async function inventoryPut(tx: Tx, endpointId: string, seen: readonly InventorySeen[], at: Date): Promise<void> {
  for (let from = 0; from < seen.length; from += rowsPerStatement) {
    await tx
      .insertInto("inventory")
      .values(
        seen.slice(from, from + rowsPerStatement).map(({ externalId, name, item }) => ({
          endpoint_id: endpointId,
          external_id: externalId,
          name,
          item: JSON.stringify(item),
          first_seen: at,
          last_seen: at,
        })),
      )
      .onConflict((c) =>
        c
          .columns(["endpoint_id", "external_id"])
          .doUpdateSet((eb) => ({ name: eb.ref("excluded.name"), item: eb.ref("excluded.item"), last_seen: at, gone_at: null }))
          .where("inventory.last_seen", "<=", at),
      )
      .execute();
  }
  // Whatever this look did not see has an older time.
  await tx
    .updateTable("inventory")
    .set({ gone_at: at })
    .where("endpoint_id", "=", endpointId)
    .where("last_seen", "<", at)
    .where("gone_at", "is", null)
    .execute();
}

/** Machines that have become ours are nobody else's any more; the long gone are forgotten. */
export async function inventoryForget(tx: Tx, endpointId: string, ours: readonly string[], goneBefore: Date): Promise<void> {
  await tx.deleteFrom("inventory").where("endpoint_id", "=", endpointId).where("gone_at", "<", goneBefore).execute();
  for (let from = 0; from < ours.length; from += rowsPerStatement) {
    await tx
      .deleteFrom("inventory")
      .where("endpoint_id", "=", endpointId)
      .where("external_id", "in", ours.slice(from, from + rowsPerStatement))
      .execute();
  }
}

export interface InventoryFilter {
  readonly endpointId?: string;
  /** Also what is not there any more. */
  readonly gone: boolean;
  readonly after: number;
  readonly limit: number;
}

export async function inventoryList(db: Database, filter: InventoryFilter) {
  let query = db
    .selectFrom("inventory")
    .innerJoin("endpoint", "endpoint.id", "inventory.endpoint_id")
    .innerJoin("site", "site.id", "endpoint.site_id")
    .selectAll("inventory")
    .select(["endpoint.name as endpoint_name", "endpoint.mode as endpoint_mode", "endpoint.provider", "site.name as site_name"])
    .where("endpoint.removed_at", "is", null)
    .where("inventory.id", ">", filter.after);
  if (filter.endpointId !== undefined) query = query.where("inventory.endpoint_id", "=", filter.endpointId);
  if (!filter.gone) query = query.where("gone_at", "is", null);
  return query.orderBy("inventory.id").limit(filter.limit).execute();
}

/** Replaces what is known of one endpoint's copies. */
export async function imageCopiesPut(
  tx: Tx,
  endpointId: string,
  copies: readonly { readonly digest: string; readonly sizeBytes: number }[],
  at: Date,
): Promise<void> {
  await tx.deleteFrom("image_copy").where("endpoint_id", "=", endpointId).execute();
  for (let from = 0; from < copies.length; from += rowsPerStatement) {
    await tx
      .insertInto("image_copy")
      .values(
        copies
          .slice(from, from + rowsPerStatement)
          .map(({ digest, sizeBytes }) => ({ endpoint_id: endpointId, digest, size_bytes: sizeBytes, seen_at: at })),
      )
      .onConflict((c) => c.columns(["endpoint_id", "digest"]).doNothing())
      .execute();
  }
}

export function imageCopyList(db: Database) {
  return db
    .selectFrom("image_copy")
    .innerJoin("endpoint", "endpoint.id", "image_copy.endpoint_id")
    .selectAll("image_copy")
    .select("endpoint.name as endpoint_name")
    .where("endpoint.removed_at", "is", null)
    .orderBy("endpoint.name")
    .execute();
}

export function imageCopyForget(tx: Tx, endpointId: string, digest: string) {
  return tx.deleteFrom("image_copy").where("endpoint_id", "=", endpointId).where("digest", "=", digest).execute();
}
