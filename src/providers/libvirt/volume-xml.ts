/** Storage pools and volumes as XML, and the names of our volumes, which carry the ownership that volumes have no other place for. */
import type { ImageRef, MachineRef } from "#provider/contract.ts";
import { escapeXml, parseXml } from "#providers/libvirt/xml.ts";

/** Image names begin so (contract); machine names have no dot, so `<machine>.` begins nothing else. */
export const imagePrefix = "strat-";

/** Every volume of a machine begins so: the name fences vApps, the object id fences installations. */
export const machineVolumePrefix = (ref: MachineRef): string => `${ref.name}.${ref.owner.object}.`;
export const diskVolumeName = (ref: MachineRef): string => `${machineVolumePrefix(ref)}disk`;
/** Data volumes of a machine, by their names in it. */
export const dataVolumePrefix = (ref: MachineRef): string => `${machineVolumePrefix(ref)}volume-`;
export const dataVolumeName = (ref: MachineRef, name: string): string => `${dataVolumePrefix(ref)}${name}`;
/** Named by content: a seed is never overwritten, and two writers of one seed write the same bytes. */
export const seedVolumeName = (ref: MachineRef, digest: string): string => `${machineVolumePrefix(ref)}seed-${digest.slice(0, 12)}`;

/** Data of an image under upload or in use; `nonce` keeps uploaders apart. The whole digest is in the name: volumes have no metadata. */
export const imageDataPrefix = (image: Pick<ImageRef, "name">): string => `${image.name}.`;
export const imageDataName = (image: ImageRef, nonce: string): string => `${imageDataPrefix(image)}${image.digest}.${nonce}`;
export const isImageName = (volumeName: string): boolean => volumeName.startsWith(imagePrefix) && !volumeName.includes(".");

/** The digest in the path of an image's data; null when the path is not one of ours. */
export function digestOfDataPath(path: string): string | null {
  return /\.([0-9a-f]{64})\.[0-9a-f]+$/.exec(path)?.[1] ?? null;
}

export function buildPoolXml(name: string, path: string): string {
  return `<pool type='dir'><name>${escapeXml(name)}</name><target><path>${escapeXml(path)}</path></target></pool>`;
}

export function poolPathOf(text: string): string {
  return parseXml(text, "pool").at("target/path")?.text ?? "";
}

/** An empty sparse file to upload into. */
export function buildRawVolumeXml(name: string, capacityBytes: number): string {
  return `<volume><name>${escapeXml(name)}</name><capacity unit='bytes'>${capacityBytes}</capacity><allocation unit='bytes'>0</allocation><target><format type='raw'/></target></volume>`;
}

/** A qcow2 of the size of its backing file, holding only what differs from it. */
export function buildOverlayVolumeXml(name: string, backingPath: string): string {
  return `<volume><name>${escapeXml(name)}</name><target><format type='qcow2'/><compat>1.1</compat></target><backingStore><path>${escapeXml(backingPath)}</path><format type='qcow2'/></backingStore></volume>`;
}

/** An empty disk that takes room as it is written. */
export function buildDataVolumeXml(name: string, sizeMiB: number): string {
  return `<volume><name>${escapeXml(name)}</name><capacity unit='MiB'>${sizeMiB}</capacity><target><format type='qcow2'/><compat>1.1</compat></target></volume>`;
}

/** Size as a guest sees it. */
export function capacityBytesOf(text: string): bigint {
  return BigInt(parseXml(text, "volume").at("capacity")?.text ?? 0);
}

export function formatOf(text: string): string {
  return parseXml(text, "volume").at("target/format")?.attribute("type") ?? "";
}

/** Null when it has none. */
export function backingPathOf(text: string): string | null {
  return parseXml(text, "volume").at("backingStore/path")?.text ?? null;
}
