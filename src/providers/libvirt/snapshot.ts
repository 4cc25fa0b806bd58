/**
 * Snapshots of one machine: internal ones of its system disk and data volumes, all of one moment, without memory. They live inside these
 * files, so they need no other and go with them; libvirt keeps the list of them with the machine.
 *
 * libvirt takes snapshots of a running machine's disks only with its memory, which halts it for as long as that takes to write. So those
 * are taken by QEMU's own monitor, in one transaction over all disks, and libvirt is told afterwards. Of a stopped machine libvirt takes
 * them, and brings them back, with the seed out of the way (aside.ts).
 *
 * A snapshot is kept under `NAME.MILLISECONDS.NONCE`: whoever takes one has a name of its own, so nobody ever meets half of another's. Of
 * several with one name the first counts, and whoever finds that he was not first removes his own. One that QEMU took and libvirt was not
 * told of, because the control plane died, is found in the disks and told by the next call.
 */
import { randomBytes } from "node:crypto";
import type { CallContext } from "#domain/context.ts";
import { AppError } from "#domain/error.ts";
import type { MachineRef, SnapshotFacts } from "#provider/contract.ts";
import { definitionPut, machineWhole, reducedDefinition } from "#providers/libvirt/aside.ts";
import type { LibvirtClient } from "#providers/libvirt/client.ts";
import { attachedVolumes } from "#providers/libvirt/data-volume.ts";
import { isFailure, libvirtCode } from "#providers/libvirt/failure.ts";
import { machineFind, machineGet, passesMax, passPauseMs, type FoundMachine } from "#providers/libvirt/machine.ts";
import { blockSnapshots, disksKeep, type KeptDisk } from "#providers/libvirt/monitor.ts";
import { domainState, type SnapshotHandle } from "#providers/libvirt/protocol.ts";
import { diskVolumeName } from "#providers/libvirt/volume-xml.ts";
import { escapeXml } from "#providers/libvirt/xml.ts";

const namePattern = /^[a-z][a-z0-9-]{0,40}$/;
const tagPattern = /^([a-z][a-z0-9-]{0,40})\.(\d{13})\.[0-9a-f]{8}$/;

interface Kept extends SnapshotFacts {
  readonly tag: string;
  readonly snapshot: SnapshotHandle;
}

export async function snapshotEnsure(client: LibvirtClient, ctx: CallContext, ref: MachineRef, name: string): Promise<SnapshotFacts> {
  assertName(name);
  for (let pass = 0; pass < passesMax; pass++) {
    const found = await machineWhole(client, await machineGet(client, ref));
    const known = await keptAs(client, found, name);
    if (known[0] !== undefined) return factsOf(known[0]);
    const tag = `${name}.${ctx.clock.now()}.${randomBytes(4).toString("hex")}`;
    try {
      if (await isOff(client, found)) await keepStopped(client, ref, found, tag);
      else await keepLive(client, ref, found, name, tag);
    } catch (error) {
      // Somebody started or stopped it, or takes one of the same machine at this moment.
      if (!isFailure(error, ...changedMeanwhile)) throw error;
      await ctx.clock.sleep(passPauseMs, ctx.signal);
      continue;
    }
    const [first, ...others] = await keptAs(client, found, name);
    for (const other of others) if (other.tag === tag) await snapshotDelete(client, other);
    if (first !== undefined) return factsOf(first);
  }
  throw new AppError("endpoint_busy", `the machine "${ref.name}" is being changed by somebody else`);
}

const changedMeanwhile = [
  libvirtCode.operationInvalid,
  libvirtCode.operationUnsupported,
  libvirtCode.configUnsupported,
  libvirtCode.operationTimeout,
] as const;

/** Disks that hold what is to be kept: the system and the data volumes, not the seed. */
function ownDisks({ description }: FoundMachine, ref: MachineRef): KeptDisk[] {
  const system = description.disks.find(({ path }) => path.endsWith(`/${diskVolumeName(ref)}`));
  return [...(system === undefined ? [] : [system]), ...attachedVolumes(description, ref)].map(({ path, target }) => ({ path, target }));
}

/** libvirt takes it of all disks that the definition has, and takes nothing when one of them fails. */
async function keepStopped(client: LibvirtClient, ref: MachineRef, found: FoundMachine, tag: string): Promise<void> {
  const disks = ownDisks(found, ref);
  const whole = await client.domainXmlInactive(found.domain);
  await client.domainDefine(
    reducedDefinition(
      whole,
      disks.map(({ target }) => target),
    ),
  );
  try {
    await client.snapshotCreate(found.domain, buildSnapshotXml(tag, disks, null));
  } finally {
    await definitionPut(client.detached(), whole);
  }
}

async function keepLive(client: LibvirtClient, ref: MachineRef, found: FoundMachine, name: string, tag: string): Promise<void> {
  const disks = ownDisks(found, ref);
  const inside = await blockSnapshots(client, found.domain, disks);
  const [first] = inside;
  // All disks have it, so the transaction was whole; libvirt was not told.
  const untold = first?.tags
    .filter((one) => tagPattern.exec(one)?.[1] === name && inside.every(({ tags }) => tags.includes(one)))
    .sort()[0];
  if (untold === undefined) await disksKeep(client, found.domain, inside, tag);
  await snapshotTell(client, found, disks, untold ?? tag);
}

/** Tells libvirt of a snapshot that is there, or of which disks it is to touch when it brings one back. */
async function snapshotTell(client: LibvirtClient, found: FoundMachine, disks: readonly KeptDisk[], tag: string): Promise<void> {
  const targets = disks.map(({ target }) => target);
  const definition = reducedDefinition(await client.domainXmlInactive(found.domain), targets);
  await client.snapshotRedefine(found.domain, buildSnapshotXml(tag, disks, definition));
}

function buildSnapshotXml(tag: string, disks: readonly KeptDisk[], definition: string | null): string {
  const kept = disks.map(({ target }) => `<disk name='${escapeXml(target)}' snapshot='internal'/>`).join("");
  const seconds = Math.floor(Number(tagPattern.exec(tag)?.[2] ?? 0) / 1000);
  const told = definition === null ? "" : `<creationTime>${seconds}</creationTime><state>shutoff</state>${definition}`;
  return `<domainsnapshot><name>${escapeXml(tag)}</name><memory snapshot='no'/><disks>${kept}</disks>${told}</domainsnapshot>`;
}

/** May be repeated at any point: what it brings back is the same each time, and the definition is aside until it is put back. */
export async function snapshotRevert(client: LibvirtClient, ref: MachineRef, name: string): Promise<void> {
  assertName(name);
  const found = await machineWhole(client, await machineGet(client, ref));
  if (!(await isOff(client, found))) throw new AppError("conflict", "disks are brought back only while the machine is stopped");
  const [kept] = await keptAs(client, found, name);
  if (kept === undefined) throw new AppError("not_found", `the machine "${ref.name}" has no snapshot "${name}" at the endpoint`);
  const whole = await client.domainXmlInactive(found.domain);
  // Volumes that came later are not touched: the kept definition does not know them.
  const targets = await targetsKept(client, kept, ref, found);
  await snapshotTell(client, found, targets, kept.tag);
  try {
    await client.snapshotRevert(kept.snapshot);
  } catch (error) {
    if (isFailure(error, libvirtCode.operationInvalid)) {
      throw new AppError("conflict", "the machine was started meanwhile", { cause: error, internal: error.message });
    }
    throw error;
  } finally {
    await definitionPut(client.detached(), whole);
  }
}

/** Disks of the machine, as they are called now, that were there when it was kept: files keep their names, targets may move. */
async function targetsKept(client: LibvirtClient, { snapshot }: Kept, ref: MachineRef, found: FoundMachine): Promise<KeptDisk[]> {
  const xml = await client.snapshotXml(snapshot);
  return ownDisks(found, ref).filter(({ path }) => xml.includes(`file='${escapeXml(path)}'`));
}

export async function snapshotRemove(client: LibvirtClient, ref: MachineRef, name: string): Promise<void> {
  assertName(name);
  const machine = await machineFind(client, ref);
  if (machine === null) return;
  const found = await machineWhole(client, machine);
  const disks = ownDisks(found, ref);
  const told = await keptAs(client, found, name);
  if (!(await isOff(client, found))) await tellUntold(client, found, disks, name, new Set(told.map(({ tag }) => tag)));
  for (const kept of await keptAs(client, found, name)) await snapshotDelete(client, kept);
}

/** What a died control plane left in the disks of a machine that runs, whole or not. */
async function tellUntold(
  client: LibvirtClient,
  found: FoundMachine,
  disks: readonly KeptDisk[],
  name: string,
  told: ReadonlySet<string>,
): Promise<void> {
  const inside = await blockSnapshots(client, found.domain, disks);
  const tags = new Set(inside.flatMap((disk) => disk.tags).filter((tag) => tagPattern.exec(tag)?.[1] === name));
  for (const tag of tags) if (!told.has(tag)) await snapshotTell(client, found, disks, tag);
}

async function snapshotDelete(client: LibvirtClient, { snapshot }: Kept): Promise<void> {
  try {
    await client.snapshotDelete(snapshot);
  } catch (error) {
    if (!isFailure(error, libvirtCode.noDomainSnapshot, libvirtCode.noDomain)) throw error;
  }
}

/** One for each name, the first; people's own are not among them. */
export async function snapshotList(client: LibvirtClient, ref: MachineRef): Promise<SnapshotFacts[]> {
  const names = new Map<string, SnapshotFacts>();
  for (const kept of await keptAs(client, await machineGet(client, ref), null)) {
    if (!names.has(kept.name)) names.set(kept.name, factsOf(kept));
  }
  return [...names.values()];
}

/** Snapshots of ours, of one name or all, oldest first. */
async function keptAs(client: LibvirtClient, { domain }: FoundMachine, name: string | null): Promise<Kept[]> {
  const all = (await client.snapshotList(domain)).flatMap((snapshot): Kept[] => {
    const [tag, base, milliseconds] = tagPattern.exec(snapshot.name) ?? [];
    if (tag === undefined || base === undefined || (name !== null && base !== name)) return [];
    return [{ name: base, createdAt: new Date(Number(milliseconds)).toISOString(), tag, snapshot }];
  });
  return all.toSorted((a, b) => a.createdAt.localeCompare(b.createdAt) || a.tag.localeCompare(b.tag));
}

const factsOf = ({ name, createdAt }: Kept): SnapshotFacts => ({ name, createdAt });

async function isOff(client: LibvirtClient, { domain }: FoundMachine): Promise<boolean> {
  const { state } = await client.domainState(domain);
  return state === domainState.shutoff || state === domainState.crashed;
}

function assertName(name: string): void {
  if (!namePattern.test(name)) throw new AppError("invalid_input", `"${name}" is no name of a snapshot`);
}
