/**
 * Images at a libvirt endpoint. libvirt can neither rename a volume nor fill one at once, so an image is two volumes:
 *
 *     strat-<16 hex>.<sha256>.<nonce>   the data, one for each uploader; complete or not, nobody can tell
 *     strat-<16 hex>                    the published image: an empty qcow2 whose backing file is complete data
 *
 * The published volume is made only after the data was uploaded, hashed and confirmed, and libvirt makes only one of a name. So a
 * half image is never taken for whole, and of several uploaders one wins; the others delete their data. Disks of machines are backed
 * by the data itself. What a killed uploader left is deleted by the next one that finds the image published, or by `imageRemove`.
 */
import { createHash, randomBytes } from "node:crypto";
import { createReadStream } from "node:fs";
import { open } from "node:fs/promises";
import { basename } from "node:path";
import type { CallContext } from "#domain/context.ts";
import { AppError } from "#domain/error.ts";
import type { ImageFacts, ImageRef, ImageSource } from "#provider/contract.ts";
import type { LibvirtClient } from "#providers/libvirt/client.ts";
import type { LibvirtEndpoint } from "#providers/libvirt/endpoint.ts";
import { streamPayloadBytesMax, type PoolHandle, type VolumeHandle } from "#providers/libvirt/protocol.ts";
import { volumeUpload } from "#providers/libvirt/upload.ts";
import { volumeBackingPath, volumeDeleteUnlessBusy, volumesComplete } from "#providers/libvirt/volume.ts";
import {
  buildOverlayVolumeXml,
  buildRawVolumeXml,
  digestOfDataPath,
  imageDataName,
  imageDataPrefix,
  imagePrefix,
  isImageName,
} from "#providers/libvirt/volume-xml.ts";

/** libvirt makes the published volume in 20-50 ms. */
const publishAttemptsMax = 100;
const publishPauseMs = 50;

interface PublishedImage {
  readonly facts: ImageFacts;
  readonly dataPath: string;
}

/** Null when it is not published, or when its data is gone: then a new upload replaces it. */
export async function imageFind(client: LibvirtClient, pool: PoolHandle, name: string): Promise<PublishedImage | null> {
  const published = await client.volumeLookup(pool, name);
  if (published === null) return null;
  const dataPath = (await volumeBackingPath(client, published)) ?? "";
  const digest = digestOfDataPath(dataPath);
  const data = digest === null ? null : await client.volumeLookup(pool, basename(dataPath));
  const sizeBytes = data === null ? null : await client.volumeFileBytes(data);
  return digest === null || sizeBytes === null ? null : { facts: { name, digest, sizeBytes }, dataPath };
}

export async function imageEnsure(endpoint: LibvirtEndpoint, ctx: CallContext, source: ImageSource): Promise<ImageFacts> {
  if (source.format !== "qcow2" || source.path === undefined)
    throw new AppError("capability_missing", "this endpoint takes images of format qcow2 only");
  const client = await endpoint.client(ctx);
  const pool = await endpoint.pool(ctx, client);
  const present = await imageFind(client, pool, source.name);
  if (present !== null) {
    if (present.facts.digest !== source.digest) throw new AppError("conflict", "the endpoint has another image of this name");
    await deleteLosers(client, pool, source, present);
    return present.facts;
  }
  await assertSelfContained(source.path);
  const data = await client.volumeCreate(pool, buildRawVolumeXml(imageDataName(source, randomBytes(4).toString("hex")), source.sizeBytes));
  if (data === null) throw new AppError("endpoint_busy", "the endpoint already has a volume of a random name");
  let image: PublishedImage;
  try {
    await uploadChecked(endpoint, ctx, data, source.path, source);
    image = await publish(ctx, client, pool, source, await client.volumePath(data));
  } catch (error) {
    // The winner of a race may have deleted our data already; that is no failure as long as there is a winner.
    const winner = await imageFind(client, pool, source.name).catch(() => null);
    if (winner === null) {
      const removed = (await client.volumeLookup(pool, data.name).catch(() => data)) === null;
      await client.volumeDelete(data).catch(() => {}); // The reason is told; what is left here is a loser for the next one.
      throw removed ? removedMeanwhile() : error;
    }
    image = winner;
  }
  await deleteLosers(client, pool, source, image);
  return image.facts;
}

const removedMeanwhile = (): AppError => new AppError("endpoint_busy", "the image was removed while it was being made");

/** Returns the image that is published in the end: this one, or the one that was first. */
async function publish(
  ctx: CallContext,
  client: LibvirtClient,
  pool: PoolHandle,
  source: ImageSource,
  dataPath: string,
): Promise<PublishedImage> {
  const xml = buildOverlayVolumeXml(source.name, dataPath);
  for (let attempt = 0; attempt < publishAttemptsMax; attempt++) {
    const made = await client.volumeCreate(pool, xml);
    const image = await imageFind(client, pool, source.name);
    if (image !== null) return image;
    if (made !== null) break;
    // Taken, but not an image: still being made, or its data was removed by hand. Only the latter is deleted.
    if ((await volumesComplete(client, pool)) && (await imageFind(client, pool, source.name)) === null) {
      const broken = await client.volumeLookup(pool, source.name);
      if (broken !== null) await volumeDeleteUnlessBusy(client, broken);
    } else {
      await ctx.clock.sleep(publishPauseMs, ctx.signal);
    }
  }
  throw removedMeanwhile();
}

/** Once an image is published, whatever else was uploaded under its name lost. */
async function deleteLosers(client: LibvirtClient, pool: PoolHandle, image: ImageRef, winner: PublishedImage): Promise<void> {
  for (const volume of await client.volumeList(pool)) {
    if (!volume.name.startsWith(imageDataPrefix(image)) || volume.name === basename(winner.dataPath)) continue;
    await volumeDeleteUnlessBusy(client, volume);
  }
}

async function uploadChecked(
  endpoint: LibvirtEndpoint,
  ctx: CallContext,
  data: VolumeHandle,
  path: string,
  source: ImageSource,
): Promise<void> {
  const hash = createHash("sha256");
  let bytes = 0;
  async function* hashed(): AsyncGenerator<Buffer> {
    for await (const chunk of createReadStream(path, { highWaterMark: streamPayloadBytesMax }) as AsyncIterable<Buffer>) {
      hash.update(chunk);
      bytes += chunk.length;
      yield chunk;
    }
  }
  await volumeUpload(endpoint, ctx, data, hashed(), source.sizeBytes);
  if (bytes !== source.sizeBytes || hash.digest("hex") !== source.digest) {
    throw new AppError("invalid_input", "the image file is not the one that was announced", { internal: `${path}: ${bytes} bytes` });
  }
}

/** A qcow2 that names another file would let its author read the endpoint's files. Source: QEMU's docs/interop/qcow2.txt. */
async function assertSelfContained(path: string): Promise<void> {
  const header = Buffer.alloc(80);
  await using file = await open(path, "r");
  await file.read(header, 0, header.length, 0);
  if (header.readUInt32BE(0) !== 0x514649fb) throw new AppError("invalid_input", "the image is not a qcow2 file");
  const backingOffset = header.readBigUInt64BE(8);
  const externalData = header.readUInt32BE(4) >= 3 && (header.readBigUInt64BE(72) & 4n) !== 0n;
  if (backingOffset !== 0n || externalData) throw new AppError("invalid_input", "the image refers to another file");
}

export async function imageList(endpoint: LibvirtEndpoint, ctx: CallContext): Promise<ImageFacts[]> {
  const client = await endpoint.client(ctx);
  const pool = await endpoint.poolIfMade(ctx, client);
  if (pool === null) return [];
  const images: ImageFacts[] = [];
  for (const volume of await client.volumeList(pool)) {
    const image = isImageName(volume.name) ? await imageFind(client, pool, volume.name) : null;
    if (image !== null) images.push(image.facts);
  }
  return images;
}

export async function imageRemove(endpoint: LibvirtEndpoint, ctx: CallContext, image: ImageRef): Promise<void> {
  if (!image.name.startsWith(imagePrefix)) throw new AppError("not_ours", "only images of this installation can be removed");
  const client = await endpoint.client(ctx);
  const pool = await endpoint.poolIfMade(ctx, client);
  if (pool === null) return;
  await assertUnused(client, pool, image);
  const published = await imageFind(client, pool, image.name);
  const volume = await client.volumeLookup(pool, image.name);
  if (volume !== null && !(await volumeDeleteUnlessBusy(client, volume))) {
    throw new AppError("endpoint_busy", `the image "${image.name}" is being made by somebody else`);
  }
  try {
    // From here no new machine can take it; one that did in between shows now.
    await assertUnused(client, pool, image);
  } catch (error) {
    if (published !== null) await client.volumeCreate(pool, buildOverlayVolumeXml(image.name, published.dataPath));
    throw error;
  }
  for (const one of await client.volumeList(pool)) {
    if (one.name.startsWith(imageDataPrefix(image))) await volumeDeleteUnlessBusy(client, one);
  }
}

async function assertUnused(client: LibvirtClient, pool: PoolHandle, image: ImageRef): Promise<void> {
  for (const volume of await client.volumeList(pool)) {
    if (volume.name.startsWith(imagePrefix)) continue;
    const backing = await volumeBackingPath(client, volume);
    if (backing === null || !basename(backing).startsWith(imageDataPrefix(image))) continue;
    throw new AppError("conflict", `the image "${image.name}" is in use`, {
      detail: [
        {
          constraint: "an image with machines cannot be removed",
          source: `volume ${volume.name}`,
          nearest: "remove the machines that were made from it",
        },
      ],
    });
  }
}
