/** libvirt's API as typed calls over one connection: one method per procedure, no decisions. Lookups of missing things return null. */
import type { CallContext } from "#domain/context.ts";
import { XdrWriter, type XdrReader } from "#lib/xdr.ts";
import { isFailure, libvirtCode } from "#providers/libvirt/failure.ts";
import {
  procedure,
  affectLive,
  qemuProcedure,
  qemuProgram,
  readDomain,
  readPool,
  readSnapshot,
  readVolume,
  remoteProgram,
  writeDomain,
  writePool,
  writeSnapshot,
  writeVolume,
  type DomainHandle,
  type PoolHandle,
  type SnapshotHandle,
  type VolumeHandle,
} from "#providers/libvirt/protocol.ts";
import type { RpcConnection, RpcStream, StreamListener } from "#providers/libvirt/rpc.ts";

const callTimeoutMs = 30_000;
/** Starting QEMU and running qemu-img on a loaded machine. */
const slowCallTimeoutMs = 120_000;

export interface DomainStateReply {
  readonly state: number;
  readonly reason: number;
}

export class LibvirtClient {
  readonly #connection: RpcConnection;
  readonly #signal: AbortSignal;

  constructor(connection: RpcConnection, ctx: Pick<CallContext, "signal">) {
    this.#connection = connection;
    this.#signal = ctx.signal;
  }

  /** The same connection without the caller's signal: for tidying up after a caller that has left. Calls keep their time limits. */
  detached(): LibvirtClient {
    return new LibvirtClient(this.#connection, { signal: new AbortController().signal });
  }

  get connection(): RpcConnection {
    return this.#connection;
  }

  async hypervisorVersion(): Promise<number> {
    return Number((await this.#call(procedure.connectGetVersion)).uhyper());
  }

  async libraryVersion(): Promise<number> {
    return Number((await this.#call(procedure.connectGetLibVersion)).uhyper());
  }

  async hostname(): Promise<string> {
    return (await this.#call(procedure.connectGetHostname)).string();
  }

  async capabilities(): Promise<string> {
    return (await this.#call(procedure.connectGetCapabilities, undefined, slowCallTimeoutMs)).string();
  }

  async cpuCount(): Promise<number> {
    const reply = await this.#call(procedure.nodeGetInfo);
    // `char model[32]` (XDR gives every char four bytes) and the memory of the first NUMA nodes, which misses memory plugged in later.
    reply.opaque(32 * 4);
    reply.uhyper();
    return reply.int();
  }

  /** Of the whole host (cell -1). libvirt wants to be asked first how many values it has. */
  async memoryTotalKiB(): Promise<number> {
    const stats = async (count: number) => {
      const reply = await this.#call(procedure.nodeGetMemoryStats, new XdrWriter().int(count).int(-1).uint(0));
      return { values: reply.array((one) => ({ name: one.string(), value: Number(one.uhyper()) })), count: reply.int() };
    };
    const { values } = await stats((await stats(0)).count);
    return values.find(({ name }) => name === "total")?.value ?? 0;
  }

  domainLookup(name: string): Promise<DomainHandle | null> {
    return orNull(libvirtCode.noDomain, async () =>
      readDomain(await this.#call(procedure.domainLookupByName, new XdrWriter().string(name))),
    );
  }

  async domainList(): Promise<DomainHandle[]> {
    return (await this.#call(procedure.connectListAllDomains, new XdrWriter().int(1).uint(0))).array(readDomain);
  }

  async domainXml(domain: DomainHandle): Promise<string> {
    return (await this.#call(procedure.domainGetXmlDesc, writeDomain(new XdrWriter(), domain).uint(0))).string();
  }

  async domainState(domain: DomainHandle): Promise<DomainStateReply> {
    const reply = await this.#call(procedure.domainGetState, writeDomain(new XdrWriter(), domain).uint(0));
    return { state: reply.int(), reason: reply.int() };
  }

  async domainDefine(xml: string): Promise<DomainHandle> {
    return readDomain(await this.#call(procedure.domainDefineXml, new XdrWriter().string(xml)));
  }

  /** Starts a domain that leaves no trace once it stops. */
  async domainCreateTransient(xml: string): Promise<DomainHandle> {
    return readDomain(await this.#call(procedure.domainCreateXml, new XdrWriter().string(xml).uint(0), slowCallTimeoutMs));
  }

  async domainStart(domain: DomainHandle): Promise<void> {
    await this.#call(procedure.domainCreate, writeDomain(new XdrWriter(), domain), slowCallTimeoutMs);
  }

  async domainResume(domain: DomainHandle): Promise<void> {
    await this.#call(procedure.domainResume, writeDomain(new XdrWriter(), domain));
  }

  async domainSuspend(domain: DomainHandle): Promise<void> {
    await this.#call(procedure.domainSuspend, writeDomain(new XdrWriter(), domain));
  }

  /** The definition that counts at the next start. */
  async domainXmlInactive(domain: DomainHandle): Promise<string> {
    return (await this.#call(procedure.domainGetXmlDesc, writeDomain(new XdrWriter(), domain).uint(2))).string();
  }

  /** To the running machine; its definition is another matter. */
  async deviceAttachLive(domain: DomainHandle, xml: string): Promise<void> {
    await this.#call(procedure.domainAttachDeviceFlags, writeDomain(new XdrWriter(), domain).string(xml).uint(affectLive));
  }

  /** What may be changed of a device that is there, like the bridge of a NIC. */
  async deviceUpdateLive(domain: DomainHandle, xml: string): Promise<void> {
    await this.#call(procedure.domainUpdateDeviceFlags, writeDomain(new XdrWriter(), domain).string(xml).uint(affectLive));
  }

  /** Within what the machine was started with: the guest gives memory back or gets it back. */
  async memorySetLive(domain: DomainHandle, memoryMiB: number): Promise<void> {
    const payload = writeDomain(new XdrWriter(), domain)
      .uhyper(BigInt(memoryMiB) * 1024n)
      .uint(affectLive);
    await this.#call(procedure.domainSetMemoryFlags, payload);
  }

  async vcpusSetLive(domain: DomainHandle, vcpus: number): Promise<void> {
    await this.#call(procedure.domainSetVcpusFlags, writeDomain(new XdrWriter(), domain).uint(vcpus).uint(affectLive));
  }

  /** Size of a disk as the guest sees it, of a running machine or from its file. Named by target. */
  async blockBytes(domain: DomainHandle, target: string): Promise<bigint> {
    const reply = await this.#call(procedure.domainGetBlockInfo, writeDomain(new XdrWriter(), domain).string(target).uint(0));
    reply.uhyper(); // Allocation.
    return reply.uhyper();
  }

  /** Grows the disk a running domain has under this target or path; the guest is told. */
  async blockResize(domain: DomainHandle, disk: string, bytes: bigint): Promise<void> {
    await this.#call(procedure.domainBlockResize, writeDomain(new XdrWriter(), domain).string(disk).uhyper(bytes).uint(1));
  }

  /** One command of QEMU's own monitor, as JSON text; for what libvirt has no call for. */
  async monitorCommand(domain: DomainHandle, command: string): Promise<string> {
    const payload = writeDomain(new XdrWriter(), domain).string(command).uint(0).toBuffer();
    const request = {
      program: qemuProgram,
      procedure: qemuProcedure.monitorCommand,
      payload,
      timeoutMs: callTimeoutMs,
      signal: this.#signal,
    };
    return (await this.#connection.call(request)).string();
  }

  async snapshotList(domain: DomainHandle): Promise<SnapshotHandle[]> {
    const payload = writeDomain(new XdrWriter(), domain).int(1).uint(0);
    return (await this.#call(procedure.domainListAllSnapshots, payload)).array(readSnapshot);
  }

  async snapshotXml(snapshot: SnapshotHandle): Promise<string> {
    return (await this.#call(procedure.domainSnapshotGetXmlDesc, writeSnapshot(new XdrWriter(), snapshot).uint(0))).string();
  }

  async snapshotCreate(domain: DomainHandle, xml: string): Promise<void> {
    await this.#call(procedure.domainSnapshotCreateXml, writeDomain(new XdrWriter(), domain).string(xml).uint(0), slowCallTimeoutMs);
  }

  /** Tells libvirt of a snapshot that is there, or anew of one it knows (flag 1). */
  async snapshotRedefine(domain: DomainHandle, xml: string): Promise<void> {
    await this.#call(procedure.domainSnapshotCreateXml, writeDomain(new XdrWriter(), domain).string(xml).uint(1));
  }

  /** Also when the definition was changed since (flag 4). */
  async snapshotRevert(snapshot: SnapshotHandle): Promise<void> {
    await this.#call(procedure.domainSnapshotRevert, writeSnapshot(new XdrWriter(), snapshot).uint(4), slowCallTimeoutMs);
  }

  async snapshotDelete(snapshot: SnapshotHandle): Promise<void> {
    await this.#call(procedure.domainSnapshotDelete, writeSnapshot(new XdrWriter(), snapshot).uint(0), slowCallTimeoutMs);
  }

  async domainWakeup(domain: DomainHandle): Promise<void> {
    await this.#call(procedure.domainPmWakeup, writeDomain(new XdrWriter(), domain).uint(0));
  }

  async domainDestroy(domain: DomainHandle): Promise<void> {
    await this.#call(procedure.domainDestroy, writeDomain(new XdrWriter(), domain), slowCallTimeoutMs);
  }

  /** Asks the guest: by its agent when that answers (2), else by the ACPI power button (1). */
  async domainShutdown(domain: DomainHandle): Promise<void> {
    await this.#call(procedure.domainShutdownFlags, writeDomain(new XdrWriter(), domain).uint(1 | 2), slowCallTimeoutMs);
  }

  /** With managed save image (1), snapshot (2) and checkpoint (16) metadata, and nvram (4), which would otherwise hold it back. */
  async domainUndefine(domain: DomainHandle): Promise<void> {
    await this.#call(procedure.domainUndefineFlags, writeDomain(new XdrWriter(), domain).uint(1 | 2 | 4 | 16));
  }

  /** One command of the QEMU guest agent, as JSON text. `timeoutSeconds` is libvirt's own limit for the answer. */
  async agentCommand(domain: DomainHandle, command: string, timeoutSeconds: number): Promise<string> {
    const payload = writeDomain(new XdrWriter(), domain).string(command).int(timeoutSeconds).uint(0).toBuffer();
    const reply = await this.#connection.call({
      program: qemuProgram,
      procedure: qemuProcedure.agentCommand,
      payload,
      timeoutMs: callTimeoutMs,
      signal: this.#signal,
    });
    return reply.optionalString() ?? "";
  }

  consoleOpen(domain: DomainHandle, listener: StreamListener): Promise<RpcStream> {
    const payload = writeDomain(new XdrWriter(), domain).optionalString(null).uint(0);
    return this.#stream(procedure.domainOpenConsole, payload, listener);
  }

  async domainEventsRegister(eventId: number): Promise<void> {
    await this.#call(
      procedure.domainEventCallbackRegister,
      new XdrWriter().int(eventId).optional(null, () => {}),
    );
  }

  poolLookup(name: string): Promise<PoolHandle | null> {
    return orNull(libvirtCode.noStoragePool, async () =>
      readPool(await this.#call(procedure.storagePoolLookupByName, new XdrWriter().string(name))),
    );
  }

  async poolXml(pool: PoolHandle): Promise<string> {
    return (await this.#call(procedure.storagePoolGetXmlDesc, writePool(new XdrWriter(), pool).uint(0))).string();
  }

  async poolDefine(xml: string): Promise<PoolHandle> {
    return readPool(await this.#call(procedure.storagePoolDefineXml, new XdrWriter().string(xml).uint(0)));
  }

  async poolBuild(pool: PoolHandle): Promise<void> {
    await this.#call(procedure.storagePoolBuild, writePool(new XdrWriter(), pool).uint(0));
  }

  async poolStart(pool: PoolHandle): Promise<void> {
    await this.#call(procedure.storagePoolCreate, writePool(new XdrWriter(), pool).uint(0));
  }

  async poolAutostart(pool: PoolHandle): Promise<void> {
    await this.#call(procedure.storagePoolSetAutostart, writePool(new XdrWriter(), pool).int(1));
  }

  async poolIsActive(pool: PoolHandle): Promise<boolean> {
    return (await this.#call(procedure.storagePoolIsActive, writePool(new XdrWriter(), pool))).int() === 1;
  }

  /** Refused while any volume of the pool is being made. */
  async poolRefresh(pool: PoolHandle): Promise<void> {
    await this.#call(procedure.storagePoolRefresh, writePool(new XdrWriter(), pool).uint(0));
  }

  async volumeList(pool: PoolHandle): Promise<VolumeHandle[]> {
    return (await this.#call(procedure.storagePoolListAllVolumes, writePool(new XdrWriter(), pool).int(1).uint(0))).array(readVolume);
  }

  volumeLookup(pool: PoolHandle, name: string): Promise<VolumeHandle | null> {
    return orNull(libvirtCode.noStorageVolume, async () =>
      readVolume(await this.#call(procedure.storageVolLookupByName, writePool(new XdrWriter(), pool).string(name))),
    );
  }

  /** Also of pools that we know nothing of; null when no pool has it. */
  volumeAt(path: string): Promise<VolumeHandle | null> {
    return orNull(libvirtCode.noStorageVolume, async () =>
      readVolume(await this.#call(procedure.storageVolLookupByPath, new XdrWriter().string(path))),
    );
  }

  async volumeResize(volume: VolumeHandle, bytes: bigint): Promise<void> {
    await this.#call(procedure.storageVolResize, writeVolume(new XdrWriter(), volume).uhyper(bytes).uint(0), slowCallTimeoutMs);
  }

  async volumeXml(volume: VolumeHandle): Promise<string> {
    return (await this.#call(procedure.storageVolGetXmlDesc, writeVolume(new XdrWriter(), volume).uint(0))).string();
  }

  async volumePath(volume: VolumeHandle): Promise<string> {
    return (await this.#call(procedure.storageVolGetPath, writeVolume(new XdrWriter(), volume))).string();
  }

  /** Length of the file, read anew from the file system (flag 1), not what libvirt remembers. Null when it is missing. */
  volumeFileBytes(volume: VolumeHandle): Promise<number | null> {
    return orNull(libvirtCode.noStorageVolume, async () => {
      const reply = await this.#call(procedure.storageVolGetInfoFlags, writeVolume(new XdrWriter(), volume).uint(1));
      reply.int(); // Type.
      reply.uhyper(); // Capacity.
      return Number(reply.uhyper());
    });
  }

  /** Null when the name is taken. */
  async volumeCreate(pool: PoolHandle, xml: string): Promise<VolumeHandle | null> {
    return orNull(libvirtCode.storageVolumeExists, async () =>
      readVolume(await this.#call(procedure.storageVolCreateXml, writePool(new XdrWriter(), pool).string(xml).uint(0), slowCallTimeoutMs)),
    );
  }

  /** True when it was there. */
  async volumeDelete(volume: VolumeHandle): Promise<boolean> {
    const deleted = await orNull(libvirtCode.noStorageVolume, () =>
      this.#call(procedure.storageVolDelete, writeVolume(new XdrWriter(), volume).uint(0), slowCallTimeoutMs),
    );
    return deleted !== null;
  }

  volumeUpload(volume: VolumeHandle, lengthBytes: number, listener: StreamListener): Promise<RpcStream> {
    const payload = writeVolume(new XdrWriter(), volume).uhyper(0n).uhyper(BigInt(lengthBytes)).uint(0);
    return this.#stream(procedure.storageVolUpload, payload, listener);
  }

  #call(number: number, payload: XdrWriter = new XdrWriter(), timeoutMs: number = callTimeoutMs): Promise<XdrReader> {
    return this.#connection.call({
      program: remoteProgram,
      procedure: number,
      payload: payload.toBuffer(),
      timeoutMs,
      signal: this.#signal,
    });
  }

  #stream(number: number, payload: XdrWriter, listener: StreamListener): Promise<RpcStream> {
    const request = {
      program: remoteProgram,
      procedure: number,
      payload: payload.toBuffer(),
      timeoutMs: callTimeoutMs,
      signal: this.#signal,
    };
    return this.#connection.openStream(request, listener);
  }
}

async function orNull<T>(code: number, work: () => Promise<T>): Promise<T | null> {
  try {
    return await work();
  } catch (error) {
    if (isFailure(error, code)) return null;
    throw error;
  }
}
