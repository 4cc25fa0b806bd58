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
import { isFailure, libvirtCode } from "#providers/libvirt/failure.ts";
import { streamPayloadBytesMax, type PoolHandle, type VolumeHandle } from "#providers/libvirt/protocol.ts";
import { volumeUpload } from "#providers/libvirt/upload.ts";
import {
  backingPathOf,
  buildOverlayVolumeXml,
  buildRawVolumeXml,
  digestOfDataPath,
  imageDataName,
  imageDataPrefix,
  imagePrefix,
  isImageName,
} from "#providers/libvirt/volume-xml.ts";

interface PublishedImage {
  readonly facts: ImageFacts;
  readonly dataPath: string;
}

/** Null when it is not published, or when its data is gone: then a new upload replaces it. */
export async function imageFind(client: LibvirtClient, pool: PoolHandle, name: string): Promise<PublishedImage | null> {
  const published = await client.volumeLookup(pool, name);
  if (published === null) return null;
  const dataPath = backingPathOf(await client.volumeXml(published)) ?? "";
  const digest = digestOfDataPath(dataPath);
  const data = digest === null ? null : await client.volumeLookup(pool, basename(dataPath));
  if (digest === null || data === null) return null;
  return { facts: { name, digest, sizeBytes: await client.volumeFileBytes(data) }, dataPath };
}

export async function imageEnsure(endpoint: LibvirtEndpoint, ctx: CallContext, source: ImageSource): Promise<ImageFacts> {
  if (source.format !== "qcow2" || source.path === undefined)
    throw new AppError("capability_missing", "this endpoint takes images of format qcow2 only");
  const client = await endpoint.client(ctx);
  const pool = await endpoint.pool(client);
  const present = await imageFind(client, pool, source.name);
  if (present !== null) {
    if (present.facts.digest !== source.digest) throw new AppError("conflict", "the endpoint has another image of this name");
    await deleteLosers(client, pool, source, present);
    return present.facts;
  }
  await assertSelfContained(source.path);
  const data = await client.volumeCreate(pool, buildRawVolumeXml(imageDataName(source, randomBytes(4).toString("hex")), source.sizeBytes));
  if (data === null) throw new AppError("endpoint_busy", "the endpoint already has a volume of a random name");
  try {
    await uploadChecked(endpoint, ctx, data, source.path, source);
    await publish(client, pool, source, data);
  } catch (error) {
    await client.volumeDelete(data).catch(() => {}); // The reason is told; what is left here is a loser for the next one.
    // The winner of a race may have deleted our data already; that is no failure as long as there is a winner.
    const winner = await imageFind(client, pool, source.name).catch(() => null);
    if (winner === null) throw isFailure(error, libvirtCode.noStorageVolume) ? removedMeanwhile() : error;
  }
  const image = await imageFind(client, pool, source.name);
  if (image === null) throw removedMeanwhile();
  await deleteLosers(client, pool, source, image);
  return image.facts;
}

const removedMeanwhile = (): AppError => new AppError("endpoint_busy", "the image was removed while it was being made");

/** Published or beaten: in both cases there is an image afterwards. */
async function publish(client: LibvirtClient, pool: PoolHandle, source: ImageSource, data: VolumeHandle): Promise<void> {
  const xml = buildOverlayVolumeXml(source.name, await client.volumePath(data));
  if ((await client.volumeCreate(pool, xml)) !== null || (await imageFind(client, pool, source.name)) !== null) return;
  // Taken, but by an image without data: somebody removed that by hand.
  const broken = await client.volumeLookup(pool, source.name);
  if (broken !== null) await client.volumeDelete(broken);
  await client.volumeCreate(pool, xml);
}

/** Once an image is published, whatever else was uploaded under its name lost. */
async function deleteLosers(client: LibvirtClient, pool: PoolHandle, image: ImageRef, winner: PublishedImage): Promise<void> {
  for (const volume of await client.volumeList(pool)) {
    if (!volume.name.startsWith(imageDataPrefix(image)) || volume.name === basename(winner.dataPath)) continue;
    await deleteUnlessBusy(client, volume);
  }
}

/** False when libvirt is still making it. */
export async function deleteUnlessBusy(client: LibvirtClient, volume: VolumeHandle): Promise<boolean> {
  try {
    await client.volumeDelete(volume);
    return true;
  } catch (error) {
    if (isFailure(error, libvirtCode.operationInvalid)) return false;
    throw error;
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
  const pool = await endpoint.poolIfMade(client);
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
  const pool = await endpoint.poolIfMade(client);
  if (pool === null) return;
  await assertUnused(client, pool, image);
  const published = await imageFind(client, pool, image.name);
  const volume = await client.volumeLookup(pool, image.name);
  if (volume !== null) await client.volumeDelete(volume);
  try {
    // From here no new machine can take it; one that did in between shows now.
    await assertUnused(client, pool, image);
  } catch (error) {
    if (published !== null) await client.volumeCreate(pool, buildOverlayVolumeXml(image.name, published.dataPath));
    throw error;
  }
  for (const one of await client.volumeList(pool)) {
    if (one.name.startsWith(imageDataPrefix(image))) await deleteUnlessBusy(client, one);
  }
}

async function assertUnused(client: LibvirtClient, pool: PoolHandle, image: ImageRef): Promise<void> {
  for (const volume of await client.volumeList(pool)) {
    if (volume.name.startsWith(imagePrefix)) continue;
    if (!(await backsOnto(client, volume, image))) continue;
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

async function backsOnto(client: LibvirtClient, volume: VolumeHandle, image: ImageRef): Promise<boolean> {
  try {
    return basename(backingPathOf(await client.volumeXml(volume)) ?? "").startsWith(imageDataPrefix(image));
  } catch (error) {
    if (isFailure(error, libvirtCode.noStorageVolume)) return false;
    throw error;
  }
}
