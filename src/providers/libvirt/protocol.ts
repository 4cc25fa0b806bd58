/**
 * libvirt's remote protocol as numbers and structures. Source: `src/remote/remote_protocol.x`, `src/remote/qemu_protocol.x` and
 * `src/rpc/virnetprotocol.x` of libvirt; numbers are only ever appended there, so one table serves every version since 1.2.
 */
import type { XdrReader, XdrWriter } from "#lib/xdr.ts";

export const remoteProgram = 0x20008086;
export const qemuProgram = 0x20008087;
const protocolVersion = 1;

/** Length word included. */
export const headerBytes = 28;
/** `VIR_NET_MESSAGE_MAX` plus its length word: a peer that announces more is not speaking this protocol. */
export const messageBytesMax = 32 * 1024 * 1024 + 4;
/** `VIR_NET_MESSAGE_LEGACY_PAYLOAD_MAX`: what every version takes in one stream message. */
export const streamPayloadBytesMax = 262_120;

export const messageType = { call: 0, reply: 1, event: 2, stream: 3 } as const;
export const messageStatus = { ok: 0, error: 1, continue: 2 } as const;

export const procedure = {
  connectOpen: 1,
  connectGetVersion: 4,
  nodeGetInfo: 6,
  connectGetCapabilities: 7,
  domainCreate: 9,
  domainCreateXml: 10,
  domainDefineXml: 11,
  domainDestroy: 12,
  domainGetXmlDesc: 14,
  domainLookupByName: 23,
  domainResume: 28,
  domainSuspend: 34,
  connectGetHostname: 59,
  authList: 66,
  storagePoolDefineXml: 77,
  storagePoolCreate: 78,
  storagePoolBuild: 79,
  storagePoolRefresh: 83,
  storagePoolLookupByName: 84,
  storagePoolGetXmlDesc: 88,
  storagePoolSetAutostart: 90,
  storageVolCreateXml: 93,
  storageVolDelete: 94,
  storageVolLookupByName: 95,
  storageVolLookupByPath: 97,
  storageVolGetXmlDesc: 99,
  storageVolGetPath: 100,
  storagePoolIsActive: 154,
  connectGetLibVersion: 157,
  domainAttachDeviceFlags: 160,
  domainUpdateDeviceFlags: 174,
  domainSnapshotCreateXml: 185,
  domainSnapshotGetXmlDesc: 186,
  domainSnapshotRevert: 192,
  domainSnapshotDelete: 193,
  domainGetBlockInfo: 194,
  domainSetVcpusFlags: 199,
  domainOpenConsole: 201,
  domainSetMemoryFlags: 204,
  storageVolUpload: 208,
  domainGetState: 212,
  nodeGetMemoryStats: 228,
  domainUndefineFlags: 231,
  domainBlockResize: 251,
  domainShutdownFlags: 258,
  storageVolResize: 260,
  domainPmWakeup: 267,
  connectListAllDomains: 273,
  domainListAllSnapshots: 274,
  storagePoolListAllVolumes: 282,
  domainEventCallbackRegister: 316,
  domainEventCallbackLifecycle: 318,
  domainEventCallbackBalloonChange: 331,
  domainEventCallbackDeviceRemoved: 333,
  domainEventCallbackAgentLifecycle: 348,
  storageVolGetInfoFlags: 378,
} as const;

/** Procedures of `qemuProgram`. */
export const qemuProcedure = { monitorCommand: 1, agentCommand: 3 } as const;

export interface MessageHeader {
  readonly lengthBytes: number;
  readonly program: number;
  readonly procedure: number;
  readonly type: number;
  readonly serial: number;
  readonly status: number;
}

export function encodeMessage(header: Omit<MessageHeader, "lengthBytes">, payload: Buffer): Buffer {
  const message = Buffer.allocUnsafe(headerBytes + payload.length);
  const words = [message.length, header.program, protocolVersion, header.procedure, header.type, header.serial, header.status];
  words.forEach((word, index) => message.writeUInt32BE(word, index * 4));
  payload.copy(message, headerBytes);
  return message;
}

/** `message` holds at least the header. */
export function decodeHeader(message: Buffer): MessageHeader {
  const word = (index: number) => message.readUInt32BE(index * 4);
  return { lengthBytes: word(0), program: word(1), procedure: word(3), type: word(4), serial: word(5), status: word(6) };
}

/** How the protocol names a domain: libvirt finds it by uuid and, when running, checks the id. */
export interface DomainHandle {
  readonly name: string;
  readonly uuid: Buffer;
  readonly id: number;
}

export interface PoolHandle {
  readonly name: string;
  readonly uuid: Buffer;
}

export interface VolumeHandle {
  readonly pool: string;
  readonly name: string;
  readonly key: string;
}

export interface SnapshotHandle {
  readonly name: string;
  readonly domain: DomainHandle;
}

export const readDomain = (reader: XdrReader): DomainHandle => ({ name: reader.string(), uuid: reader.opaque(16), id: reader.int() });
export const writeDomain = (writer: XdrWriter, domain: DomainHandle): XdrWriter =>
  writer.string(domain.name).opaque(domain.uuid).int(domain.id);
export const readPool = (reader: XdrReader): PoolHandle => ({ name: reader.string(), uuid: reader.opaque(16) });
export const writePool = (writer: XdrWriter, pool: PoolHandle): XdrWriter => writer.string(pool.name).opaque(pool.uuid);
export const readVolume = (reader: XdrReader): VolumeHandle => ({ pool: reader.string(), name: reader.string(), key: reader.string() });
export const writeVolume = (writer: XdrWriter, volume: VolumeHandle): XdrWriter =>
  writer.string(volume.pool).string(volume.name).string(volume.key);

export const readSnapshot = (reader: XdrReader): SnapshotHandle => ({ name: reader.string(), domain: readDomain(reader) });
export const writeSnapshot = (writer: XdrWriter, snapshot: SnapshotHandle): XdrWriter =>
  writeDomain(writer.string(snapshot.name), snapshot.domain);

/** `virDomainModificationImpact`: the running machine, not its definition. */
export const affectLive = 1;
/** `virDomainState`. */
export const domainState = { nostate: 0, running: 1, blocked: 2, paused: 3, shutdown: 4, shutoff: 5, crashed: 6, pmsuspended: 7 } as const;
/** `virDomainShutoffReason`: only the one that says that nobody wanted it. */
export const shutoffReasonCrashed = 3;
/** `virDomainEventID`. */
export const eventId = { lifecycle: 0, balloonChange: 13, deviceRemoved: 15, agentLifecycle: 18 } as const;
