/** Images: one bootable thing in several variants. The files are where the control plane can read them; endpoints get copies. */
import type { ImageRemovedView, ImageView, ImageWrite } from "#domain/catalogue.ts";
import { AppError, isAppError } from "#domain/error.ts";
import { formatId } from "#domain/id.ts";
import type { AppContext } from "#app/context.ts";
import { listed } from "#app/endpoint.ts";
import { newId } from "#app/new-id.ts";
import { catalogueResource } from "#app/resource.ts";
import { auditOf, useCase, write } from "#app/use-case.ts";
import { advisoryLock } from "#store/advisory-lock.ts";
import { auditInsert } from "#store/audit.ts";
import { imageDelete, imageHeldBy, imageList, imageUpsert, imageUses } from "#store/catalogue.ts";
import { imageCopyForget, imageCopyList } from "#store/inventory.ts";
import { endpointList, type EndpointRow } from "#store/site.ts";

const removeTimeoutMs = 20_000;

export const listImages = useCase({ action: "image.read", resource: catalogueResource }, (ctx): Promise<ImageView[]> => views(ctx));

export const showImage = useCase({ action: "image.read", resource: catalogueResource }, async (ctx, name: string): Promise<ImageView> => {
  const [image] = await views(ctx, name);
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
    const [view] = await views(ctx, image.name);
    return view!;
  },
);

/**
 * Takes it out of the catalogue, then its copies from the endpoints. Refused while machines use it. What an endpoint does not give up now
 * (it does not answer, somebody else's machine uses the copy) stays there and is named.
 */
export const deleteImage = useCase(
  { action: "image.delete", resource: catalogueResource },
  async (ctx, name: string): Promise<ImageRemovedView> => {
    const digests = await write(ctx, async (tx) => {
      // Orders choose their images under the same lock.
      await advisoryLock(tx, "capacity");
      const all = await imageList(tx);
      const machines = await imageHeldBy(tx, name);
      if (machines.length > 0) throw inUse(name, machines);
      if (Number((await imageDelete(tx, name)).numDeletedRows) === 0) throw notFound(name);
      await auditInsert(tx, auditOf(ctx, { image: name }));
      // The same content may be in the catalogue under another name.
      const others = new Set(all.filter((row) => row.name !== name).map(({ digest }) => digest));
      return all.filter((row) => row.name === name && !others.has(row.digest)).map(({ digest }) => digest);
    });
    const managed = (await endpointList(ctx.platform.database)).filter(({ mode }) => mode === "manage");
    const outcomes = await Promise.all(managed.map((endpoint) => copiesRemove(ctx, endpoint, digests)));
    return {
      name,
      removedFrom: outcomes.filter(({ removed, why }) => removed && why === null).map(({ endpoint }) => endpoint),
      keptAt: outcomes.flatMap(({ endpoint, why }) => (why === null ? [] : [{ endpoint, why }])),
    };
  },
);

/** An endpoint without a copy is not worth a word, even when it does not answer: what lay there was seen before. */
async function copiesRemove(
  ctx: AppContext,
  row: EndpointRow,
  digests: readonly string[],
): Promise<{ endpoint: string; removed: boolean; why: string | null }> {
  const { database, endpoints } = ctx.platform;
  const endpoint = row.name;
  const known = (await imageCopyList(database)).some((copy) => copy.endpoint_id === row.id && digests.includes(copy.digest));
  const call = { ...ctx, signal: AbortSignal.any([ctx.signal, AbortSignal.timeout(removeTimeoutMs)]) };
  try {
    const provider = endpoints.providerOf(row);
    const there = (await provider.imageList(call)).filter(({ digest }) => digests.includes(digest));
    for (const image of there) await provider.imageRemove(call, { name: image.name, digest: image.digest });
    await write(ctx, async (tx) => {
      for (const digest of digests) await imageCopyForget(tx, row.id, digest);
    });
    return { endpoint, removed: there.length > 0, why: null };
  } catch (error) {
    ctx.log.warn({ endpoint, error: isAppError(error) ? (error.internal ?? error.message) : String(error) }, "copies of an image stay");
    const isAbsent = !known && isAppError(error) && error.retryable;
    return { endpoint, removed: false, why: isAbsent ? null : isAppError(error) ? error.message : "the endpoint does not answer" };
  }
}

function inUse(name: string, machines: readonly string[]): AppError {
  const constraint = `${machines.length} ${machines.length === 1 ? "machine was" : "machines were"} made from it: ${listed(machines)}`;
  const vapps = [...new Set(machines.map((machine) => machine.split("/")[0]!))];
  return new AppError("conflict", `image ${name} is in use`, {
    detail: [{ constraint, source: `image ${name}`, nearest: `delete their vApps first: strat vapp delete ${vapps[0]}` }],
  });
}

function notFound(name: string): AppError {
  return new AppError("not_found", `there is no image "${name}"`, {
    detail: [{ constraint: "an image is named as in the catalogue", source: "images", nearest: "list them with `strat image ls`" }],
  });
}

async function views({ platform: { database } }: AppContext, name?: string): Promise<ImageView[]> {
  const rows = await imageList(database, name === undefined ? undefined : [name]);
  const [uses, copies] = [await imageUses(database), await imageCopyList(database)];
  const images = new Map<string, ImageView>();
  for (const row of rows) {
    const image = images.get(row.id) ?? {
      id: formatId("image", row.id),
      name: row.name,
      recipeHash: row.recipe_hash,
      variants: [],
      machines: uses.get(row.name) ?? 0,
      cachedAt: [],
      createdAt: row.created_at.toISOString(),
    };
    const format = row.format as ImageView["variants"][number]["format"];
    image.variants.push({ format, digest: row.digest, sizeBytes: row.size_bytes, path: row.path });
    for (const copy of copies.filter(({ digest }) => digest === row.digest)) {
      image.cachedAt.push({ endpoint: copy.endpoint_name, format, sizeBytes: copy.size_bytes, seenAt: copy.seen_at.toISOString() });
    }
    images.set(row.id, image);
  }
  return [...images.values()];
}
