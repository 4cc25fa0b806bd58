/** Images: one bootable thing in several variants. The files are where the control plane can read them; endpoints get copies. */
import type { ImageView, ImageWrite } from "#domain/catalogue.ts";
import { AppError } from "#domain/error.ts";
import { formatId } from "#domain/id.ts";
import { newId } from "#app/new-id.ts";
import { catalogueResource } from "#app/resource.ts";
import { auditOf, useCase, write } from "#app/use-case.ts";
import { auditInsert } from "#store/audit.ts";
import { imageDelete, imageInUse, imageList, imageUpsert } from "#store/catalogue.ts";

export const listImages = useCase({ action: "image.read", resource: catalogueResource }, async (ctx): Promise<ImageView[]> =>
  views(await imageList(ctx.platform.database)),
);

export const showImage = useCase({ action: "image.read", resource: catalogueResource }, async (ctx, name: string): Promise<ImageView> => {
  const [image] = views(await imageList(ctx.platform.database, [name]));
  if (image === undefined) throw notFound(name);
  return image;
});

export const putImage = useCase(
  { action: "image.write", resource: catalogueResource },
  async (ctx, image: ImageWrite): Promise<ImageView> => {
    await write(ctx, async (tx) => {
      await imageUpsert(
        tx,
        { id: newId("image", ctx.clock), organization_id: ctx.platform.operatorId, name: image.name, recipe_hash: image.recipeHash },
        image.variants.map(({ format, digest, sizeBytes, path }) => ({ format, digest, size_bytes: sizeBytes, path })),
      );
      await auditInsert(tx, auditOf(ctx, { image: image.name, recipeHash: image.recipeHash }));
    });
    const [view] = views(await imageList(ctx.platform.database, [image.name]));
    return view!;
  },
);

/** Takes it out of the catalogue. Refused while machines use it; cached copies at endpoints stay until they are cleaned up there. */
export const deleteImage = useCase({ action: "image.delete", resource: catalogueResource }, async (ctx, name: string): Promise<void> => {
  await write(ctx, async (tx) => {
    const machines = await imageInUse(tx, name);
    if (machines > 0) {
      throw new AppError("conflict", `image ${name} is in use`, {
        detail: [{ constraint: `${machines} machines were made from it`, source: `image ${name}`, nearest: "delete their vApps first" }],
      });
    }
    const deleted = await imageDelete(tx, name);
    if (Number(deleted.numDeletedRows) === 0) throw notFound(name);
    await auditInsert(tx, auditOf(ctx, { image: name }));
  });
});

function notFound(name: string): AppError {
  return new AppError("not_found", `there is no image "${name}"`, {
    detail: [{ constraint: "an image is named as in the catalogue", source: "images", nearest: "list them with `strat image ls`" }],
  });
}

function views(rows: Awaited<ReturnType<typeof imageList>>): ImageView[] {
  const images = new Map<string, ImageView>();
  for (const row of rows) {
    const image = images.get(row.id) ?? {
      id: formatId("image", row.id),
      name: row.name,
      recipeHash: row.recipe_hash,
      variants: [],
      createdAt: row.created_at.toISOString(),
    };
    image.variants.push({
      format: row.format as ImageView["variants"][number]["format"],
      digest: row.digest,
      sizeBytes: row.size_bytes,
      path: row.path,
    });
    images.set(row.id, image);
  }
  return [...images.values()];
}
