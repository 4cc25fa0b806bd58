/**
 * Machines: a domain, its disk (an overlay on an image) and its seed. Fences, in order: the domain's name is fixed and unique, its uuid
 * is the owner's object, its metadata names the owner, and its volumes carry name and object in their names.
 *
 * Order of making: disk, seed, domain; so a domain never refers to a volume that was never complete. `machineEnsure` and `machineRemove`
 * both work in passes and end only after a pass in which they found what they want: whoever comes last wins completely, and a race
 * between them ends with a whole machine or with nothing.
 */
import { createHash } from "node:crypto";
import type { CallContext } from "#domain/context.ts";
import { AppError } from "#domain/error.ts";
import { sameOwner } from "#domain/owner.ts";
import type { MachineFacts, MachineRef, MachineSpec } from "#provider/contract.ts";
import type { LibvirtClient } from "#providers/libvirt/client.ts";
import { buildDomainXml, machineFactsOf, parseDomainXml, powerOf, type DomainDescription } from "#providers/libvirt/domain-xml.ts";
import type { LibvirtEndpoint } from "#providers/libvirt/endpoint.ts";
import { isFailure, libvirtCode } from "#providers/libvirt/failure.ts";
import { imageFind } from "#providers/libvirt/image.ts";
import { domainState, type DomainHandle, type PoolHandle, type VolumeHandle } from "#providers/libvirt/protocol.ts";
import { makeSeed } from "#providers/libvirt/seed.ts";
import { volumeUpload } from "#providers/libvirt/upload.ts";
import { volumeBackingPath, volumeDeleteUnlessBusy, volumesComplete } from "#providers/libvirt/volume.ts";
import {
  buildOverlayVolumeXml,
  buildRawVolumeXml,
  diskVolumeName,
  machineVolumePrefix,
  seedVolumeName,
} from "#providers/libvirt/volume-xml.ts";

/** Each pass that does not settle means that somebody else works on the same machine. */
const passesMax = 8;
const passPauseMs = 50;

export interface FoundMachine {
  readonly domain: DomainHandle;
  readonly description: DomainDescription;
}

/** Null when missing; `not_ours` when the name belongs to somebody else. */
export async function machineFind(client: LibvirtClient, ref: MachineRef): Promise<FoundMachine | null> {
  const domain = await client.domainLookup(ref.name);
  const description = domain === null ? null : await describe(client, domain);
  if (domain === null || description === null) return null;
  if (!sameOwner(description.owner, ref.owner)) {
    throw new AppError("not_ours", `the name "${ref.name}" is taken at the endpoint by an object that is not ours`);
  }
  return { domain, description };
}

/** Like `machineFind`, for calls that make no sense without a machine. */
export async function machineGet(client: LibvirtClient, ref: MachineRef): Promise<FoundMachine> {
  const found = await machineFind(client, ref);
  if (found === null) throw new AppError("not_found", `there is no machine "${ref.name}" at the endpoint`);
  return found;
}

async function describe(client: LibvirtClient, domain: DomainHandle): Promise<DomainDescription | null> {
  try {
    return parseDomainXml(await client.domainXml(domain));
  } catch (error) {
    if (isFailure(error, libvirtCode.noDomain)) return null;
    throw error;
  }
}

export async function machineObserve(client: LibvirtClient, ref: MachineRef): Promise<MachineFacts | null> {
  const found = await machineFind(client, ref);
  return found === null ? null : factsOf(client, found);
}

/** Null when it went away meanwhile. */
export async function factsOf(client: LibvirtClient, { domain, description }: FoundMachine): Promise<MachineFacts | null> {
  try {
    const { state, reason } = await client.domainState(domain);
    return machineFactsOf(description, powerOf(state, reason));
  } catch (error) {
    if (isFailure(error, libvirtCode.noDomain)) return null;
    throw error;
  }
}

/** One after the other: libvirt answers in 0.1 ms, and works on five calls of a client at most. */
export async function machineList(client: LibvirtClient): Promise<MachineFacts[]> {
  const machines: MachineFacts[] = [];
  for (const domain of await client.domainList()) {
    const description = await describe(client, domain);
    const facts = description === null ? null : await factsOf(client, { domain, description });
    if (facts !== null) machines.push(facts);
  }
  return machines;
}

/** A machine that is not stopped is left as it is: what differs shows in its facts and is synced by an `ensure` after a stop. */
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
  const pool = await endpoint.pool(ctx, client);
  const found = await machineFind(client, spec);
  const facts = found === null ? null : await factsOf(client, found);
  if (facts !== null && facts.power !== "stopped" && facts.power !== "crashed") return facts;
  try {
    const disk = await diskEnsure(client, pool, spec, found !== null);
    const disc = disk === null ? null : await seedEnsure(endpoint, ctx, pool, seed, found);
    if (disk === null || disc === null) return null;
    const disks = { diskPath: await client.volumePath(disk), seedPath: await client.volumePath(disc) };
    if (found === null || differs(found.description, spec, disks)) {
      await machineDefine(client, spec, buildDomainXml(spec, disks, await endpoint.platform(ctx)));
    }
  } catch (error) {
    // A volume that was just there was removed, or one that is needed is still being made by somebody else.
    if (isFailure(error, libvirtCode.noStorageVolume, libvirtCode.operationInvalid)) return null;
    throw error;
  }
  return settledFacts(client, pool, spec, seed.name);
}

function differs(description: DomainDescription, spec: MachineSpec, disks: { diskPath: string; seedPath: string }): boolean {
  const nics = (list: readonly { mac: string; attachment: string }[]) => list.map(({ mac, attachment }) => `${mac} ${attachment}`).join();
  const same =
    description.vcpus === spec.vcpus &&
    description.memoryMiB === spec.memoryMiB &&
    nics(description.nics) === nics(spec.nics) &&
    description.diskPaths.join() === [disks.diskPath, disks.seedPath].join();
  return !same;
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
  if (facts === null || !names.has(diskVolumeName(spec)) || !names.has(seedName)) return null;
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
  if (present !== null && found?.description.diskPaths.includes(await client.volumePath(present)) === true) return present;
  const volume = present ?? (await client.volumeCreate(pool, buildRawVolumeXml(name, content.length)));
  if (volume !== null) await volumeUpload(endpoint, ctx, volume, [content], content.length);
  return volume;
}

export async function machineRemove(endpoint: LibvirtEndpoint, ctx: CallContext, ref: MachineRef): Promise<void> {
  const client = await endpoint.client(ctx);
  for (let pass = 0; pass < passesMax; pass++) {
    const found = await machineFind(client, ref);
    if (found !== null) await domainErase(client, found.domain);
    const pool = await endpoint.poolIfMade(ctx, client);
    const volumes = pool === null ? [] : (await client.volumeList(pool)).filter((one) => one.name.startsWith(machineVolumePrefix(ref)));
    if (found === null && volumes.length === 0) return;
    let busy = false;
    for (const volume of volumes) if (!(await volumeDeleteUnlessBusy(client, volume))) busy = true;
    if (busy) await ctx.clock.sleep(passPauseMs, ctx.signal);
  }
  throw new AppError("endpoint_busy", `the machine "${ref.name}" is being made by somebody else`);
}

async function domainErase(client: LibvirtClient, domain: DomainHandle): Promise<void> {
  await domainDestroy(client, domain);
  try {
    await client.domainUndefine(domain);
  } catch (error) {
    // Gone already, or gone with its last process because somebody else had undefined it.
    if (!isFailure(error, libvirtCode.noDomain, libvirtCode.operationInvalid)) throw error;
  }
}

/** Succeeds when it does not run. */
export async function domainDestroy(client: LibvirtClient, domain: DomainHandle): Promise<void> {
  try {
    const { state } = await client.domainState(domain);
    if (state !== domainState.shutoff) await client.domainDestroy(domain);
  } catch (error) {
    if (!isFailure(error, libvirtCode.noDomain, libvirtCode.operationInvalid)) throw error;
  }
}
