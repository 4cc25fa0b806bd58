/**
 * Everybody's machines with what the endpoint's records say of their origin. Only reads, so it works with reading rights: no pool is made,
 * started or refreshed for it.
 *
 * Who owns a machine is a guess, and said to be one: from metadata that clouds leave (OpenStack Nova names the user), else from words like
 * "owner: Ann" in title or description, else from a home folder that a tool noted there (Vagrant does). The name of a machine says nothing.
 */
import type { InventoryItem } from "#provider/contract.ts";
import type { LibvirtClient } from "#providers/libvirt/client.ts";
import { parseDomainXml } from "#providers/libvirt/domain-xml.ts";
import { isFailure, libvirtCode } from "#providers/libvirt/failure.ts";
import { factsOf } from "#providers/libvirt/machine.ts";
import type { DomainHandle } from "#providers/libvirt/protocol.ts";
import { parseXml, type XmlElement } from "#providers/libvirt/xml.ts";

const wordsMax = 2_000;
const ownerCharactersMax = 200;
/** Of a machine's disks, these are asked for their times. */
const disksMax = 32;
const metadataDepthMax = 6;

export async function inventory(client: LibvirtClient): Promise<InventoryItem[]> {
  const items: InventoryItem[] = [];
  for (const domain of await client.domainList()) {
    const item = await itemOf(client, domain);
    if (item !== null) items.push(item);
  }
  return items;
}

/** Null when it went away meanwhile. */
async function itemOf(client: LibvirtClient, domain: DomainHandle): Promise<InventoryItem | null> {
  try {
    const xml = await client.domainXml(domain);
    const facts = await factsOf(client, { domain, description: parseDomainXml(xml) });
    if (facts === null) return null;
    const element = parseXml(xml, "domain");
    return { ...facts, description: descriptionOf(element), created: await createdOf(client, element), ownerGuess: ownerGuessOf(element) };
  } catch (error) {
    if (isFailure(error, libvirtCode.noDomain)) return null;
    throw error;
  }
}

/** Title and description, and the operating system where a tool noted which one it installed. */
export function descriptionOf(domain: XmlElement): string | null {
  const system = metadata(domain)
    .find(({ name }) => localName(name) === "os" && name !== "os")
    ?.attribute("id");
  const words = [domain.at("title")?.text.trim(), domain.at("description")?.text.trim(), system && `operating system: ${system}`];
  const text = words.filter((part) => part !== undefined && part !== null && part !== "").join("\n");
  return text === "" ? null : text.slice(0, wordsMax);
}

async function createdOf(client: LibvirtClient, domain: XmlElement): Promise<InventoryItem["created"]> {
  const noted = metadata(domain).find(({ name }) => localName(name) === "creationTime");
  const notedAt = noted === undefined ? Number.NaN : Date.parse(`${noted.text.trim().replace(" ", "T").replace(/Z$/, "")}Z`);
  if (noted !== undefined && !Number.isNaN(notedAt)) return { at: new Date(notedAt).toISOString(), source: `metadata ${noted.name}` };
  let oldestMs = Number.POSITIVE_INFINITY;
  for (const path of ownDiskPaths(domain).slice(0, disksMax)) oldestMs = Math.min(oldestMs, await fileMadeMs(client, path));
  return Number.isFinite(oldestMs) ? { at: new Date(oldestMs).toISOString(), source: "oldest disk file" } : null;
}

/** Discs that are only read, like the one it was installed from, are older than the machine. */
function ownDiskPaths(domain: XmlElement): string[] {
  return (domain.at("devices")?.all("disk") ?? [])
    .filter((disk) => (disk.attribute("device") ?? "disk") === "disk" && disk.at("readonly") === null)
    .flatMap((disk) => disk.at("source")?.attribute("file") ?? disk.at("source")?.attribute("dev") ?? []);
}

/** The file or its pool went away, or libvirtd cannot look at it: then it says nothing, and the inventory goes on. */
const unreadable = [
  libvirtCode.noStorageVolume,
  libvirtCode.noStoragePool,
  libvirtCode.operationInvalid,
  libvirtCode.systemError,
  libvirtCode.internalError,
];

/** The earliest time of a file that its pool knows; infinite when no pool has it. Copied files keep their times of change, so the earliest counts. */
async function fileMadeMs(client: LibvirtClient, path: string): Promise<number> {
  const volume = await client.volumeAt(path);
  if (volume === null) return Number.POSITIVE_INFINITY;
  try {
    return volumeMadeMs(await client.volumeXml(volume));
  } catch (error) {
    if (isFailure(error, ...unreadable)) return Number.POSITIVE_INFINITY;
    throw error;
  }
}

export function volumeMadeMs(xml: string): number {
  const times = parseXml(xml, "volume").at("target/timestamps");
  const seconds = ["btime", "mtime", "ctime"].map((name) => Number(times?.at(name)?.text ?? 0));
  return Math.min(...seconds.map((second) => (second > 0 ? second * 1000 : Number.POSITIVE_INFINITY)));
}

const ownerWords = ["owner", "contact", "responsible", "maintainer", "creator", "created-by", "created_by", "email"] as const;
const ownerInText = /(?:^|[\s;,(])(owner|contact|responsible|maintainer|created by|creator|belongs to)\s*(?:[:=]\s*|\s+is\s+)([^\n;,)]+)/i;
const homeInText = /(?:^|[\s:=])\/home\/([a-z_][a-z0-9_.-]*)\//i;

export function ownerGuessOf(domain: XmlElement): InventoryItem["ownerGuess"] {
  return ownerInMetadata(domain) ?? ownerInWords(domain);
}

function ownerInMetadata(domain: XmlElement): InventoryItem["ownerGuess"] {
  const elements = metadata(domain);
  const user = elements.find(({ name }) => localName(name) === "user" && name !== "user");
  const project = elements.find(({ name }) => localName(name) === "project");
  const guess = (who: string, source: string) => ({ who: who.slice(0, ownerCharactersMax), source });
  if (user !== undefined && user.text.trim() !== "") {
    const of = project === undefined || project.text.trim() === "" ? "" : ` (project ${project.text.trim()})`;
    return guess(`${user.text.trim()}${of}`, `metadata ${user.name}`);
  }
  for (const word of ownerWords) {
    const found = elements.find(({ name, text }) => localName(name).toLowerCase() === word && text.trim() !== "");
    if (found !== undefined) return guess(found.text.trim(), `metadata ${found.name}`);
  }
  return null;
}

function ownerInWords(domain: XmlElement): InventoryItem["ownerGuess"] {
  for (const source of ["title", "description"]) {
    const text = domain.at(source)?.text ?? "";
    const who = (ownerInText.exec(text)?.[2] ?? homeInText.exec(text)?.[1])?.trim();
    if (who !== undefined && who !== "") return { who: who.slice(0, ownerCharactersMax), source };
  }
  return null;
}

/** All elements of the metadata, whatever tool left them; our own mark is a fact, no guess. */
function metadata(domain: XmlElement): XmlElement[] {
  const roots = (domain.at("metadata")?.children ?? []).filter(({ name }) => !name.startsWith("stratiform:"));
  return roots.flatMap((root) => withDescendants(root, metadataDepthMax));
}

function withDescendants(element: XmlElement, depth: number): XmlElement[] {
  return [element, ...(depth === 0 ? [] : element.children.flatMap((child) => withDescendants(child, depth - 1)))];
}

function localName(name: string): string {
  return name.slice(name.indexOf(":") + 1);
}
