/**
 * Data volumes of machines: qcow2 files of the pool, named by machine and volume, found by the guest by their serial number. They are made
 * empty and grow; they are never shrunk, never made anew while there is one, and leave with the machine, by the prefix of their names.
 */
import { basename } from "node:path";
import type { CallContext } from "#domain/context.ts";
import type { MachineRef, MachineSpec, VolumeSpec } from "#provider/contract.ts";
import type { LibvirtClient } from "#providers/libvirt/client.ts";
import type { DomainDescription, NamedFile } from "#providers/libvirt/domain-xml.ts";
import { isFailure, libvirtCode } from "#providers/libvirt/failure.ts";
import type { DomainHandle, PoolHandle, VolumeHandle } from "#providers/libvirt/protocol.ts";
import { volumeDeleteUnlessBusy, volumesComplete } from "#providers/libvirt/volume.ts";
import { buildDataVolumeXml, capacityBytesOf, dataVolumeName, dataVolumePrefix, formatOf } from "#providers/libvirt/volume-xml.ts";

const bytesPerMiB = 1024n * 1024n;

export const bytesOf = (sizeMiB: number): bigint => BigInt(sizeMiB) * bytesPerMiB;

/** Data volumes of a machine of ours that are attached to it, by their files' names. */
export function attachedVolumes({ disks }: DomainDescription, ref: MachineRef): (NamedFile & { readonly target: string })[] {
  const prefix = dataVolumePrefix(ref);
  return disks.flatMap(({ path, target }) => {
    const file = basename(path);
    return file.startsWith(prefix) ? [{ name: file.slice(prefix.length), path, target }] : [];
  });
}

/** Volumes as they are, ours by name, anybody else's by target. One whose file is gone is none. */
export async function volumeFacts(client: LibvirtClient, domain: DomainHandle, description: DomainDescription): Promise<VolumeSpec[]> {
  const { name, owner, disks } = description;
  const volumes =
    owner === null
      ? disks.slice(1).flatMap(({ target, readOnly }) => (readOnly ? [] : [{ name: target, target }]))
      : attachedVolumes(description, { name, owner });
  const facts: VolumeSpec[] = [];
  for (const volume of volumes) {
    const bytes = await blockBytes(client, domain, volume.target);
    if (bytes !== null) facts.push({ name: volume.name, sizeMiB: Number(bytes / bytesPerMiB) });
  }
  return facts;
}

async function blockBytes(client: LibvirtClient, domain: DomainHandle, target: string): Promise<bigint | null> {
  try {
    return await client.blockBytes(domain, target);
  } catch (error) {
    // The file is gone or cannot be read, or the disk was detached since; a domain that is gone is the caller's matter.
    if (isFailure(error, libvirtCode.noDomain) || !isFailure(error, ...unreadable)) throw error;
    return null;
  }
}

const unreadable = [libvirtCode.internalError, libvirtCode.invalidArgument, libvirtCode.systemError, libvirtCode.operationFailed] as const;

/**
 * For a machine that is stopped: all its volumes with those of the specification made and grown. Null when one is being made, or was removed,
 * at this moment. What is attached beyond the specification stays: data is only removed with the machine.
 */
export async function dataVolumesEnsure(
  client: LibvirtClient,
  ctx: CallContext,
  pool: PoolHandle,
  spec: MachineSpec,
  description: DomainDescription | null,
): Promise<NamedFile[] | null> {
  const attached = description === null ? [] : attachedVolumes(description, spec);
  const files: NamedFile[] = [];
  for (const { name, path } of attached) if ((await client.volumeLookup(pool, basename(path))) !== null) files.push({ name, path });
  for (const wanted of spec.volumes) {
    const volume = await volumeEnsure(client, pool, spec, wanted);
    if (volume === null) return null;
    await grow(client, ctx, volume, wanted);
    if (!files.some(({ name }) => name === wanted.name)) files.push({ name: wanted.name, path: await client.volumePath(volume) });
  }
  return files;
}

/** One that is there may be half made, by a libvirtd that was killed: libvirt then calls its format something else. */
export async function volumeEnsure(
  client: LibvirtClient,
  pool: PoolHandle,
  ref: MachineRef,
  { name, sizeMiB }: VolumeSpec,
): Promise<VolumeHandle | null> {
  const file = dataVolumeName(ref, name);
  const present = await client.volumeLookup(pool, file);
  if (present === null) return client.volumeCreate(pool, buildDataVolumeXml(file, sizeMiB));
  if (formatOf(await client.volumeXml(present)) === "qcow2") return present;
  if (await volumesComplete(client, pool)) await volumeDeleteUnlessBusy(client, present);
  return null;
}

async function grow(client: LibvirtClient, ctx: CallContext, volume: VolumeHandle, { sizeMiB }: VolumeSpec): Promise<void> {
  if (capacityBytesOf(await client.volumeXml(volume)) >= bytesOf(sizeMiB)) return;
  try {
    await client.volumeResize(volume, bytesOf(sizeMiB));
  } catch (error) {
    if (!isFailure(error, libvirtCode.invalidArgument)) throw error;
    // libvirt takes a file that its snapshots made larger than the new size for a smaller one. It grows once the machine runs.
    ctx.log.warn({ error, volume: volume.name }, "a volume does not grow while its machine is stopped");
  }
}
