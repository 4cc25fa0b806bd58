/**
 * Makes a machine as specified, or brings one that is there to its specification. One that is off is changed file by file and defined anew
 * where it differs; one that runs is another matter (sync.ts).
 */
import { createHash } from "node:crypto";
import type { CallContext } from "#domain/context.ts";
import { AppError } from "#domain/error.ts";
import type { MachineFacts, MachineSpec } from "#provider/contract.ts";
import type { LibvirtClient } from "#providers/libvirt/client.ts";
import { dataVolumesEnsure } from "#providers/libvirt/data-volume.ts";
import { buildDomainXml } from "#providers/libvirt/domain-xml.ts";
import type { LibvirtEndpoint } from "#providers/libvirt/endpoint.ts";
import { isFailure, libvirtCode } from "#providers/libvirt/failure.ts";
import { imageFind } from "#providers/libvirt/image.ts";
import { definitionDiffers, machineFind, machineObserve, passesMax, passPauseMs, type FoundMachine } from "#providers/libvirt/machine.ts";
import { domainState, type PoolHandle, type VolumeHandle } from "#providers/libvirt/protocol.ts";
import { makeSeed } from "#providers/libvirt/seed.ts";
import { machineSync } from "#providers/libvirt/sync.ts";
import { volumeUpload } from "#providers/libvirt/upload.ts";
import { volumeBackingPath, volumeDeleteUnlessBusy, volumesComplete } from "#providers/libvirt/volume.ts";
import {
  buildOverlayVolumeXml,
  buildRawVolumeXml,
  dataVolumeName,
  diskVolumeName,
  machineVolumePrefix,
  seedVolumeName,
} from "#providers/libvirt/volume-xml.ts";

export async function machineEnsure(endpoint: LibvirtEndpoint, ctx: CallContext, spec: MachineSpec): Promise<MachineFacts> {
  if (spec.kind !== "vm") throw new AppError("capability_missing", "this endpoint runs virtual machines only");
  const content = makeSeed(spec);
  const seed = { name: seedVolumeName(spec, createHash("sha256").update(content).digest("hex")), content };
  for (let pass = 0; pass < passesMax; pass++) {
    const settled = await ensurePass(endpoint, ctx, spec, seed);
    if (settled !== null) return settled;
    await ctx.clock.sleep(passPauseMs, ctx.signal);
  }
  throw new AppError("endpoint_busy", `the machine "${spec.name}" is being changed by somebody else`);
}

interface Seed {
  readonly name: string;
  readonly content: Buffer;
}

/** Null when something was missing or being made at this moment. */
async function ensurePass(endpoint: LibvirtEndpoint, ctx: CallContext, spec: MachineSpec, seed: Seed): Promise<MachineFacts | null> {
  const client = await endpoint.client(ctx);
  const found = await machineFind(client, spec);
  if (found !== null && !(await isOff(client, found))) {
    return (await machineSync(endpoint, ctx, spec, found)) ? machineObserve(client, spec) : null;
  }
  const pool = await endpoint.pool(ctx, client);
  try {
    const disk = await diskEnsure(client, pool, spec, found !== null);
    const volumes = disk === null ? null : await dataVolumesEnsure(client, ctx, pool, spec, found?.description ?? null);
    const disc = volumes === null ? null : await seedEnsure(endpoint, ctx, pool, seed, found);
    if (disk === null || volumes === null || disc === null) return null;
    const disks = { diskPath: await client.volumePath(disk), seedPath: await client.volumePath(disc), volumes };
    if (found === null || definitionDiffers(found.description, spec, disks)) {
      await machineDefine(client, spec, buildDomainXml(spec, disks, await endpoint.platform(ctx)));
    }
  } catch (error) {
    // A volume that was just there was removed, or one that is needed is still being made by somebody else.
    if (isFailure(error, libvirtCode.noStorageVolume, libvirtCode.operationInvalid)) return null;
    throw error;
  }
  return settledFacts(client, pool, spec, seed.name);
}

async function isOff(client: LibvirtClient, { domain }: FoundMachine): Promise<boolean> {
  try {
    const { state } = await client.domainState(domain);
    return state === domainState.shutoff || state === domainState.crashed;
  } catch (error) {
    if (isFailure(error, libvirtCode.noDomain)) return true;
    throw error;
  }
}

async function machineDefine(client: LibvirtClient, spec: MachineSpec, xml: string): Promise<void> {
  try {
    await client.domainDefine(xml);
  } catch (error) {
    // The name may have been taken since we looked; then the error is about that.
    if (isFailure(error, libvirtCode.operationFailed)) await machineFind(client, spec);
    throw error;
  }
}

/** Facts when domain and volumes are all there, seeds of the past deleted; null when a remove came in between. */
async function settledFacts(client: LibvirtClient, pool: PoolHandle, spec: MachineSpec, seedName: string): Promise<MachineFacts | null> {
  const volumes = (await client.volumeList(pool)).filter((volume) => volume.name.startsWith(machineVolumePrefix(spec)));
  const names = new Set(volumes.map((volume) => volume.name));
  const facts = await machineObserve(client, spec);
  const needed = [diskVolumeName(spec), seedName, ...spec.volumes.map(({ name }) => dataVolumeName(spec, name))];
  if (facts === null || !needed.every((name) => names.has(name))) return null;
  const past = volumes.filter((volume) => volume.name !== seedName && volume.name.startsWith(`${machineVolumePrefix(spec)}seed-`));
  if (facts.power === "stopped" || facts.power === "crashed") for (const volume of past) await volumeDeleteUnlessBusy(client, volume);
  return facts;
}

/** Null when it is being made or was removed at this moment. A machine keeps its disk, whatever its image is called meanwhile. */
async function diskEnsure(client: LibvirtClient, pool: PoolHandle, spec: MachineSpec, defined: boolean): Promise<VolumeHandle | null> {
  const name = diskVolumeName(spec);
  const present = await client.volumeLookup(pool, name);
  if (present !== null && defined) return present;
  const image = await imageFind(client, pool, spec.image.name);
  if (image === null || image.facts.digest !== spec.image.digest) {
    throw new AppError("not_found", `the image "${spec.image.name}" is not at the endpoint`);
  }
  if (present !== null) {
    // Left by a killed caller, or made this moment by another one, who may also have defined the machine since we looked.
    if (!(await volumesComplete(client, pool))) return null;
    if ((await volumeBackingPath(client, present)) === image.dataPath) return present;
    if ((await machineFind(client, spec)) === null) await volumeDeleteUnlessBusy(client, present);
    return null;
  }
  const made = await client.volumeCreate(pool, buildOverlayVolumeXml(name, image.dataPath));
  if (made === null) return null;
  if ((await imageFind(client, pool, spec.image.name))?.dataPath === image.dataPath) return made;
  // The counterpart of the second look in `imageRemove`.
  await client.volumeDelete(made);
  throw new AppError("not_found", `the image "${spec.image.name}" was removed from the endpoint`);
}

/** A seed that the definition already refers to is complete, because the definition came after it. Any other is written (again). */
async function seedEnsure(
  endpoint: LibvirtEndpoint,
  ctx: CallContext,
  pool: PoolHandle,
  { name, content }: Seed,
  found: FoundMachine | null,
): Promise<VolumeHandle | null> {
  const client = await endpoint.client(ctx);
  const present = await client.volumeLookup(pool, name);
  if (present !== null && found !== null) {
    const path = await client.volumePath(present);
    if (found.description.disks.some((disk) => disk.path === path)) return present;
  }
  const volume = present ?? (await client.volumeCreate(pool, buildRawVolumeXml(name, content.length)));
  if (volume !== null) await volumeUpload(endpoint, ctx, volume, [content], content.length);
  return volume;
}
