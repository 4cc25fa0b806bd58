/**
 * Images: LXD names an image by the sha256 of its file, which is our digest, so there can be only one of it; our fixed name is an alias
 * that points to it.
 */
import { createReadStream } from "node:fs";
import { stat } from "node:fs/promises";
import { z } from "zod";
import type { CallContext } from "#domain/context.ts";
import { AppError, isAppError } from "#domain/error.ts";
import type { ImageFacts, ImageRef, ImageSource } from "#provider/contract.ts";
import type { LxdConnection } from "./connection.ts";

const namePrefix = "strat-";
const uploadTimeoutMs = 600_000;

const imageSchema = z.object({
  fingerprint: z.string(),
  size: z.number(),
  aliases: z.array(z.object({ name: z.string() })).nullish(),
});
type Image = z.output<typeof imageSchema>;

export async function imageEnsure(ctx: CallContext, lxd: LxdConnection, source: ImageSource): Promise<ImageFacts> {
  if (source.format !== "lxd") throw new AppError("capability_missing", `LXD does not take images of format ${source.format}`);
  if ((await imageObserve(ctx, lxd, source.digest)) === null) await imageUpload(ctx, lxd, source);
  await aliasEnsure(ctx, lxd, source);
  const image = await imageObserve(ctx, lxd, source.digest);
  if (image === null) throw new AppError("conflict", "The image was removed while it was being imported");
  return { name: source.name, digest: source.digest, sizeBytes: image.size };
}

async function imageObserve(ctx: CallContext, lxd: LxdConnection, digest: string): Promise<Image | null> {
  return await orNull(lxd.get(ctx, `/1.0/images/${digest}`, imageSchema));
}

async function imageUpload(ctx: CallContext, lxd: LxdConnection, source: ImageSource): Promise<void> {
  if (source.path === undefined) throw new AppError("invalid_input", "An image for LXD needs a file");
  const { size } = await stat(source.path).catch((cause: unknown) => {
    throw new AppError("invalid_input", "The image file cannot be read", { cause });
  });
  if (size !== source.sizeBytes) throw new AppError("invalid_input", `The image file has ${size} bytes instead of ${source.sizeBytes}`);
  const file = createReadStream(source.path);
  try {
    await lxd.perform(ctx, "POST", "/1.0/images", {
      stream: { source: file, sizeBytes: source.sizeBytes },
      // With the fingerprint LXD itself refuses a file that is not what we say it is.
      headers: { "x-lxd-fingerprint": source.digest, "x-lxd-public": "false", "x-lxd-filename": source.name },
      timeoutMs: uploadTimeoutMs,
    });
  } catch (error) {
    // Somebody uploaded the same file meanwhile: then it is there, and that is all we want.
    if ((await imageObserve(ctx, lxd, source.digest)) === null) throw error;
  } finally {
    file.destroy();
  }
}

async function aliasTarget(ctx: CallContext, lxd: LxdConnection, name: string): Promise<string | null> {
  const alias = await orNull(lxd.get(ctx, `/1.0/images/aliases/${encodeURIComponent(name)}`, z.object({ target: z.string() })));
  return alias?.target ?? null;
}

async function aliasEnsure(ctx: CallContext, lxd: LxdConnection, image: ImageRef): Promise<void> {
  let target = await aliasTarget(ctx, lxd, image.name);
  if (target === null) {
    try {
      await lxd.perform(ctx, "POST", "/1.0/images/aliases", { body: { name: image.name, target: image.digest, description: "" } });
      return;
    } catch (error) {
      target = await aliasTarget(ctx, lxd, image.name);
      if (target === null) throw error;
    }
  }
  if (target !== image.digest) throw new AppError("not_ours", `The image name ${image.name} is taken by another image`);
}

export async function imageList(ctx: CallContext, lxd: LxdConnection): Promise<ImageFacts[]> {
  const images = await lxd.get(ctx, "/1.0/images?recursion=1", z.array(imageSchema).nullable());
  return (images ?? []).flatMap((image) =>
    (image.aliases ?? [])
      .filter(({ name }) => name.startsWith(namePrefix))
      .map(({ name }) => ({ name, digest: image.fingerprint, sizeBytes: image.size })),
  );
}

const usersSchema = z.array(z.object({ config: z.record(z.string(), z.string()) })).nullable();

export async function imageRemove(ctx: CallContext, lxd: LxdConnection, ref: ImageRef): Promise<void> {
  const digest = await aliasTarget(ctx, lxd, ref.name);
  if (digest === null) return;
  const instances = await lxd.get(ctx, "/1.0/instances?recursion=1", usersSchema);
  if ((instances ?? []).some(({ config }) => config["volatile.base_image"] === digest)) {
    throw new AppError("conflict", "Machines still use this image");
  }
  const image = await imageObserve(ctx, lxd, digest);
  // An operator may have given the same image a name of their own; then only ours goes.
  const shared = (image?.aliases ?? []).some(({ name }) => !name.startsWith(namePrefix));
  const path = shared ? `/1.0/images/aliases/${encodeURIComponent(ref.name)}` : `/1.0/images/${digest}`;
  await orNull(lxd.perform(ctx, "DELETE", path));
}

/** Null instead of `not_found`. */
export async function orNull<T>(promise: Promise<T>): Promise<T | null> {
  try {
    return await promise;
  } catch (error) {
    if (isAppError(error, "not_found")) return null;
    throw error;
  }
}
