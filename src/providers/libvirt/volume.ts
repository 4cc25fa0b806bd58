/** What is true of every volume: libvirt makes it in two steps, and what it says of one that is being made must not be believed. */
import type { LibvirtClient } from "#providers/libvirt/client.ts";
import { isFailure, libvirtCode } from "#providers/libvirt/failure.ts";
import type { PoolHandle, VolumeHandle } from "#providers/libvirt/protocol.ts";
import { backingPathOf } from "#providers/libvirt/volume-xml.ts";

/** False when libvirt is still making it. Succeeds when it is missing. */
export async function volumeDeleteUnlessBusy(client: LibvirtClient, volume: VolumeHandle): Promise<boolean> {
  try {
    await client.volumeDelete(volume);
    return true;
  } catch (error) {
    if (isFailure(error, libvirtCode.operationInvalid)) return false;
    throw error;
  }
}

/**
 * True when none is being made: libvirt refreshes a pool only then. It reads a description from the file each time it is asked, so one
 * that is being made seems to have no backing file; after this, descriptions are right.
 */
export async function volumesComplete(client: LibvirtClient, pool: PoolHandle): Promise<boolean> {
  try {
    await client.poolRefresh(pool);
    return true;
  } catch (error) {
    if (isFailure(error, libvirtCode.internalError)) return false;
    throw error;
  }
}

/** Null when it has no backing file, and also when it is missing or being made at this moment. */
export async function volumeBackingPath(client: LibvirtClient, volume: VolumeHandle): Promise<string | null> {
  try {
    return backingPathOf(await client.volumeXml(volume));
  } catch (error) {
    if (isFailure(error, libvirtCode.noStorageVolume)) return null;
    throw error;
  }
}
