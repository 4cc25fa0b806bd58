/**
 * Writes small ISO 9660 images with Rock Ridge names: seeds of virtual machines. The same files always give the same bytes (no clock,
 * no randomness), so an image can be named by its digest and two writers of the same content do not disturb each other.
 * Limits: one level of folders, every folder in one sector. Sources: ECMA-119, IEEE P1281 (SUSP), IEEE P1282 (RRIP).
 */
import { AppError } from "#domain/error.ts";

const sectorBytes = 2048;
/** ECMA-119: the first 16 sectors belong to the system that boots from the disc. */
const firstDescriptorSector = 16;
/** Some readers (libarchive) look at the first 48 KiB before they believe that it is a disc. */
const sectorsMin = 32;
/** One date for everything: 2000-01-01 00:00:00 UTC, in the 7-byte form of directory records. */
const recordDate = Buffer.from([100, 1, 1, 0, 0, 0, 0]);
const descriptorDate = Buffer.concat([Buffer.from("2000010100000000", "latin1"), Buffer.from([0])]);
const noDate = Buffer.concat([Buffer.from("0000000000000000", "latin1"), Buffer.from([0])]);
const folderMode = 0o040555;
const fileMode = 0o100444;

export interface IsoFile {
  /** `name` or `folder/name`; letters, digits, `.`, `_` and `-`. */
  readonly path: string;
  readonly content: string | Uint8Array;
}

interface Placed {
  readonly name: string;
  /** Name for readers without Rock Ridge: upper case, unique in its folder. */
  readonly plainName: string;
  readonly sector: number;
  readonly content: Buffer;
}

interface Folder {
  readonly name: string;
  readonly sector: number;
  readonly files: Placed[];
}

export function makeIso(volumeLabel: string, files: readonly IsoFile[]): Buffer {
  if (!/^[A-Za-z0-9_]{1,32}$/.test(volumeLabel))
    throw new AppError("invalid_input", "the label of an ISO image has 1 to 32 letters, digits and _");
  const folderNames = [...new Set(files.filter((file) => file.path.includes("/")).map((file) => file.path.split("/")[0] ?? ""))].sort();
  const littlePathTable = firstDescriptorSector + 2;
  const rootSector = littlePathTable + 2;
  const folders: Folder[] = ["", ...folderNames].map((name, index) => ({ name, sector: rootSector + index, files: [] }));
  let next = rootSector + folders.length;
  for (const file of [...files].sort((a, b) => (a.path < b.path ? -1 : 1))) {
    const folder = folderOf(file.path, folders);
    const name = file.path.slice(file.path.indexOf("/") + 1);
    if (!/^[A-Za-z0-9._-]{1,100}$/.test(name)) throw new AppError("invalid_input", `"${file.path}" cannot be the name of a file in a seed`);
    const content = Buffer.from(file.content);
    folder.files.push({ name, plainName: `F${String(folder.files.length).padStart(3, "0")}.;1`, sector: next, content });
    next += sectorsOf(content.length);
  }
  const sectors = Math.max(next, sectorsMin);
  const image = Buffer.alloc(sectors * sectorBytes);
  const [root, ...inner] = folders as [Folder, ...Folder[]];
  volumeDescriptor(volumeLabel, sectors, littlePathTable, root, folders).copy(image, firstDescriptorSector * sectorBytes);
  terminator().copy(image, (firstDescriptorSector + 1) * sectorBytes);
  pathTable(folders, "little").copy(image, littlePathTable * sectorBytes);
  pathTable(folders, "big").copy(image, (littlePathTable + 1) * sectorBytes);
  folderRecords(root, root, inner).copy(image, root.sector * sectorBytes);
  for (const folder of inner) folderRecords(folder, root, []).copy(image, folder.sector * sectorBytes);
  for (const file of folders.flatMap((folder) => folder.files)) file.content.copy(image, file.sector * sectorBytes);
  return image;
}

function folderOf(path: string, folders: readonly Folder[]): Folder {
  const parts = path.split("/");
  const folder = folders.find((one) => one.name === (parts.length === 1 ? "" : parts[0]));
  if (parts.length > 2 || folder === undefined) throw new AppError("invalid_input", `"${path}" is too deep for a seed`);
  return folder;
}

/** An empty file still gets a sector, so that no two files share a place. */
const sectorsOf = (length: number): number => Math.max(1, Math.ceil(length / sectorBytes));

/** ECMA-119 7.3.3: 32 bits in both byte orders. */
function both32(value: number): Buffer {
  const bytes = Buffer.alloc(8);
  bytes.writeUInt32LE(value, 0);
  bytes.writeUInt32BE(value, 4);
  return bytes;
}

function both16(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt16LE(value, 0);
  bytes.writeUInt16BE(value, 2);
  return bytes;
}

const padded = (text: string, length: number): Buffer => Buffer.from(text.padEnd(length, " "), "latin1");

function volumeDescriptor(label: string, sectors: number, littlePathTable: number, root: Folder, folders: readonly Folder[]): Buffer {
  const tableLength = pathTableBytes(folders);
  const little = Buffer.alloc(4);
  little.writeUInt32LE(littlePathTable);
  const big = Buffer.alloc(4);
  big.writeUInt32BE(littlePathTable + 1);
  const parts = [
    Buffer.from("\x01CD001\x01\x00", "latin1"),
    padded("", 32), // System.
    padded(label, 32),
    Buffer.alloc(8),
    both32(sectors),
    Buffer.alloc(32),
    both16(1),
    both16(1),
    both16(sectorBytes),
    both32(tableLength),
    little,
    Buffer.alloc(4),
    big,
    Buffer.alloc(4),
    record("\0", root.sector, sectorBytes, true, Buffer.alloc(0)),
    padded("", 128 * 4 + 37 * 3), // Set, publisher, preparer, application and three file names: none.
    descriptorDate,
    descriptorDate,
    noDate,
    noDate,
    Buffer.from([1, 0]),
  ];
  return Buffer.concat(parts);
}

const terminator = (): Buffer => Buffer.from("\xffCD001\x01", "latin1");

const pathEntryBytes = (name: string): number => 8 + name.length + (name.length % 2);
const plainFolderName = (folder: Folder): string => (folder.name === "" ? "\0" : folder.name.toUpperCase());
const pathTableBytes = (folders: readonly Folder[]): number =>
  folders.reduce((sum, folder) => sum + pathEntryBytes(plainFolderName(folder)), 0);

function pathTable(folders: readonly Folder[], order: "little" | "big"): Buffer {
  const entries = folders.map((folder) => {
    const name = plainFolderName(folder);
    const entry = Buffer.alloc(pathEntryBytes(name));
    entry.writeUInt8(name.length, 0);
    // The parent of everything is the root, which is number 1.
    if (order === "little") {
      entry.writeUInt32LE(folder.sector, 2);
      entry.writeUInt16LE(1, 6);
    } else {
      entry.writeUInt32BE(folder.sector, 2);
      entry.writeUInt16BE(1, 6);
    }
    entry.write(name, 8, "latin1");
    return entry;
  });
  return Buffer.concat(entries);
}

function folderRecords(folder: Folder, root: Folder, inner: readonly Folder[]): Buffer {
  const own =
    folder === root ? Buffer.concat([sharingProtocol(), posix(folderMode, 2 + inner.length), extensions()]) : posix(folderMode, 2);
  const records = [
    record("\0", folder.sector, sectorBytes, true, own),
    record("\x01", root.sector, sectorBytes, true, posix(folderMode, 2)),
    ...folder.files.map((file) =>
      record(file.plainName, file.sector, file.content.length, false, Buffer.concat([posix(fileMode, 1), longName(file.name)])),
    ),
    ...inner.map((one) =>
      record(plainFolderName(one), one.sector, sectorBytes, true, Buffer.concat([posix(folderMode, 2), longName(one.name)])),
    ),
  ];
  const bytes = Buffer.concat(records);
  if (bytes.length > sectorBytes) throw new AppError("invalid_input", "a folder of a seed has too many files");
  return bytes;
}

/** ECMA-119 9.1, with the system use field at its end, where Rock Ridge lives. */
function record(name: string, sector: number, length: number, folder: boolean, systemUse: Buffer): Buffer {
  const nameBytes = Buffer.from(name, "latin1");
  const pad = nameBytes.length % 2 === 0 ? 1 : 0;
  const systemPad = systemUse.length % 2;
  const bytes = Buffer.concat([
    Buffer.from([0, 0]),
    both32(sector),
    both32(length),
    recordDate,
    Buffer.from([folder ? 2 : 0, 0, 0]),
    both16(1),
    Buffer.from([nameBytes.length]),
    nameBytes,
    Buffer.alloc(pad),
    systemUse,
    Buffer.alloc(systemPad),
  ]);
  bytes.writeUInt8(bytes.length, 0);
  return bytes;
}

const systemUseEntry = (signature: string, data: Buffer): Buffer =>
  Buffer.concat([Buffer.from(signature, "latin1"), Buffer.from([4 + data.length, 1]), data]);

/** SP: "system use fields start here", only in the first record of the root. */
const sharingProtocol = (): Buffer => systemUseEntry("SP", Buffer.from([0xbe, 0xef, 0]));

/** ER: names the extension in use. Linux looks for it before it believes any Rock Ridge entry. */
function extensions(): Buffer {
  const id = Buffer.from("RRIP_1991A", "latin1");
  return systemUseEntry("ER", Buffer.concat([Buffer.from([id.length, 0, 0, 1]), id]));
}

/** PX: mode, links, owner and group, all root's. */
const posix = (mode: number, links: number): Buffer =>
  systemUseEntry("PX", Buffer.concat([both32(mode), both32(links), both32(0), both32(0)]));

/** NM: the name as it was given. */
const longName = (name: string): Buffer => systemUseEntry("NM", Buffer.concat([Buffer.from([0]), Buffer.from(name, "latin1")]));
