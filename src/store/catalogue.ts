/** Offerings, images and rate cards. */
import type { Database, Tx } from "#store/database.ts";

export function offeringList(db: Database) {
  return db.selectFrom("offering").selectAll().orderBy("name").orderBy("created_at", "desc").execute();
}

/** Newest version of that name, or the one named as `name@version`. */
export function offeringByName(db: Database, text: string) {
  const [name = "", version] = text.split("@");
  const query = db.selectFrom("offering").selectAll().where("name", "=", name);
  return (version === undefined ? query : query.where("version", "=", version)).orderBy("created_at", "desc").limit(1).executeTakeFirst();
}

export function offeringById(db: Database, id: string) {
  return db.selectFrom("offering").selectAll().where("id", "=", id).executeTakeFirst();
}

/** A published version never changes: a conflict on (organization, name, version) inserts nothing. */
export function offeringInsert(
  tx: Tx,
  row: { id: string; organization_id: string; name: string; version: string; document: string; digest: string },
) {
  return tx
    .insertInto("offering")
    .values(row)
    .onConflict((c) => c.columns(["organization_id", "name", "version"]).doNothing())
    .execute();
}

export async function imageList(db: Database, names?: readonly string[]) {
  let query = db
    .selectFrom("image")
    .innerJoin("image_variant", "image_variant.image_id", "image.id")
    .selectAll("image")
    .select(["format", "digest", "size_bytes", "path"]);
  if (names !== undefined) query = query.where("image.name", "in", names.length === 0 ? [""] : [...names]);
  return query.orderBy("image.name").orderBy("format").execute();
}

export async function imageUpsert(
  tx: Tx,
  image: { id: string; organization_id: string; name: string; recipe_hash: string },
  variants: readonly { format: string; digest: string; size_bytes: number; path: string | null }[],
) {
  const row = await tx
    .insertInto("image")
    .values(image)
    .onConflict((c) => c.column("name").doUpdateSet({ recipe_hash: image.recipe_hash }))
    .returning("id")
    .executeTakeFirstOrThrow();
  await tx.deleteFrom("image_variant").where("image_id", "=", row.id).execute();
  await tx
    .insertInto("image_variant")
    .values(variants.map((variant) => ({ ...variant, image_id: row.id })))
    .execute();
  return row.id;
}

export function imageDelete(tx: Tx, name: string) {
  return tx.deleteFrom("image").where("name", "=", name).executeTakeFirst();
}

/** Machines made from an image, as `vapp/machine`. */
export async function imageHeldBy(tx: Tx, name: string): Promise<string[]> {
  const rows = await tx
    .selectFrom("machine")
    .innerJoin("vapp", "vapp.id", "machine.vapp_id")
    .select(["vapp.name as vapp", "machine.name"])
    .where("machine.image", "=", name)
    .where("machine.released_at", "is", null)
    .orderBy("vapp.name")
    .orderBy("machine.name")
    .execute();
  return rows.map((row) => `${row.vapp}/${row.name}`);
}

/** How many machines each image has. */
export async function imageUses(db: Database): Promise<Map<string, number>> {
  const rows = await db
    .selectFrom("machine")
    .select((eb) => ["image", eb.fn.countAll<number>().as("n")])
    .where("released_at", "is", null)
    .groupBy("image")
    .execute();
  return new Map(rows.map(({ image, n }) => [image, n]));
}

export function rateCardCurrent(db: Database) {
  return db.selectFrom("rate_card").selectAll().orderBy("created_at", "desc").limit(1).executeTakeFirstOrThrow();
}
