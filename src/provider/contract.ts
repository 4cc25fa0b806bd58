/**
 * The contract of a provider: our adapter for one kind of endpoint (one reachable manager of machines: a libvirtd, an LXD).
 *
 * Doctrine: every `ensure` observes, creates what is missing under the fixed name, syncs each aspect and returns facts; every
 * `remove` of a missing thing succeeds. Both may be repeated, and run twice at the same time, and still leave one object (or none).
 * A provider acts only on objects that carry our ownership mark (I7): anything else raises `not_ours` and is left alone.
 * Providers never retry, never sleep for long, and hold no state that is not at the endpoint. They know no application, no order
 * and no database. What an endpoint cannot do is missing from `capabilities`; calling it raises `capability_missing`.
 *
 * Errors: `endpoint_unreachable` and `timeout` when no answer came (the work may have been done), `endpoint_busy` when it asks to
 * come back, `endpoint_refused` when it said no, `not_ours`, `capability_missing`, `guest_failed` for the channel.
 */
import type { Duplex } from "node:stream";
import type { CallContext } from "#domain/context.ts";
import type { OwnerMark } from "#domain/owner.ts";

export type MachineKind = "vm" | "container";

/** What an endpoint can do, as data: planners read it, the conformance suite lists what is missing. */
export interface ProviderCapabilities {
  /** Kinds of machine it realises. */
  readonly machineKinds: readonly MachineKind[];
  /** Formats of image it takes: `qcow2` = whole bootable disk, `lxd` = unified image tar.gz, `sim` = nothing but a name. */
  readonly imageFormats: readonly ImageFormat[];
  /** Names are unique at the endpoint, so a fixed name fences concurrent creators. */
  readonly uniqueNames: boolean;
  /** `watch` delivers life-cycle events within a second. */
  readonly events: boolean;
  /** `channelRun` executes in the guest. */
  readonly channel: boolean;
  /** `consoleOpen` gives a serial console. */
  readonly console: boolean;
  /** `machineEnsure` changes vCPUs and memory of a machine that runs; otherwise they change at the next `machineEnsure` after a stop. */
  readonly liveResize: boolean;
  /** `machinePause` halts a machine; needed for snapshots that are consistent across machines. */
  readonly pause: boolean;
  readonly snapshots: boolean;
  /** Data volumes beside the system disk, made and grown by `machineEnsure`. */
  readonly volumes: boolean;
}

export type ImageFormat = "qcow2" | "lxd" | "sim";

/** Address of one machine at its endpoint. `name` is fixed by us before the first call and never changes. */
export interface MachineRef {
  /** [a-z][a-z0-9-]{0,62}, unique per endpoint. */
  readonly name: string;
  readonly owner: OwnerMark;
}

export interface NicSpec {
  /** Name inside the guest: eth0, eth1 ... in the order of this list. */
  readonly name: string;
  /** What the fabric calls the segment at this site (a bridge name); from `SegmentFacts.attachment`. */
  readonly attachment: string;
  /** Locally administered, `02:…`, lower case. */
  readonly mac: string;
  /** IPv4 address without prefix length. */
  readonly address: string;
  readonly prefixLength: number;
  /** Default route through this NIC; absent on isolated segments. */
  readonly gateway?: string;
}

export interface VolumeSpec {
  /** [a-z][a-z0-9]{0,15}, unique in the machine. The guest finds a disk by this name as its serial number, or a folder (images/README.md). */
  readonly name: string;
  readonly sizeMiB: number;
}

export interface MachineSpec extends MachineRef {
  readonly kind: MachineKind;
  /** Image already present at the endpoint by `imageEnsure`. */
  readonly image: ImageRef;
  readonly vcpus: number;
  readonly memoryMiB: number;
  readonly nics: readonly NicSpec[];
  /** Missing ones are made empty, smaller ones grow (also while it runs), larger ones stay: a volume is never shrunk. */
  readonly volumes: readonly VolumeSpec[];
  readonly hostname: string;
  /** Names the guest resolves without a call: its own vApp's machines. Goes into the seed. */
  readonly hosts: readonly { readonly address: string; readonly names: readonly string[] }[];
}

export type MachinePower = "running" | "stopped" | "paused" | "crashed" | "unknown";

/** What was observed at the endpoint, never what was wished for. */
export interface MachineFacts {
  readonly name: string;
  /** Null: not ours (unmanaged). */
  readonly owner: OwnerMark | null;
  readonly kind: MachineKind;
  readonly power: MachinePower;
  readonly vcpus: number;
  readonly memoryMiB: number;
  readonly nics: readonly { readonly mac: string; readonly attachment: string }[];
  /** Data volumes as they are; empty where the endpoint has none. */
  readonly volumes: readonly VolumeSpec[];
  /** The endpoint's own id of the object, for people who look with its own tools. */
  readonly externalId: string;
}

/** A machine of anybody's, as an inventory shows it (R17): what it is, and what the endpoint's own records say about its origin. */
export interface InventoryItem extends MachineFacts {
  /** Words people gave it: title, description; null when there are none. */
  readonly description: string | null;
  /** When it was made, RFC 3339 UTC, with the record that says so ("created_at", "oldest disk file"); null when nothing does. */
  readonly created: { readonly at: string; readonly source: string } | null;
  /** Who seems to own it, with the record that says so ("user.owner", "metadata nova:user"); null when nothing does. A guess, shown as one. */
  readonly ownerGuess: { readonly who: string; readonly source: string } | null;
}

/** State of all disks and volumes of one machine at one moment. */
export interface SnapshotFacts {
  /** [a-z][a-z0-9-]{0,40}, fixed by us, unique in the machine. */
  readonly name: string;
  readonly createdAt: string;
}

export interface ImageRef {
  /** Fixed name at the endpoint: `strat-` + first 16 hex digits of the digest. */
  readonly name: string;
  /** sha256 of the file, hex. */
  readonly digest: string;
}

export interface ImageSource extends ImageRef {
  readonly format: ImageFormat;
  readonly sizeBytes: number;
  /** A file readable by the control plane; streamed to the endpoint. Absent for format `sim`. */
  readonly path?: string;
}

export interface ImageFacts extends ImageRef {
  readonly sizeBytes: number;
}

export interface EndpointDescription {
  /** Product and version, for people: "libvirt 9.0.0, QEMU 7.2". */
  readonly product: string;
  /** The manager's own name of the host. */
  readonly host: string;
  /** `x86_64`, `aarch64` ... */
  readonly architecture: string;
  /** How VMs run, found by probing: `kvm`, `tcg`, or `none` for containers and simulations. */
  readonly accelerator: "kvm" | "tcg" | "none";
  readonly vcpus: number;
  readonly memoryMiB: number;
}

export interface ChannelCommand {
  /** Absolute path first; no shell is involved. */
  readonly argv: readonly string[];
  /** At most 1 MiB. Secrets go here, never into argv. */
  readonly stdin?: string;
  /** Hard limit in the guest; default 30 000. */
  readonly timeoutMs?: number;
}

export interface ChannelResult {
  readonly exitCode: number;
  /** At most 1 MiB each; longer output is cut and `truncated` is set. */
  readonly stdout: string;
  readonly stderr: string;
  readonly truncated: boolean;
}

/** An event as it came in: what the event says, not a second look. */
export interface MachineEvent {
  readonly type: "machine";
  readonly name: string;
  /** Null: something else about the machine changed (a NIC, its memory, a volume), so that somebody should look. */
  readonly power: MachinePower | "removed" | null;
  readonly reason: string;
}

export interface Provider {
  /** `libvirt`, `lxd`, `sim`. */
  readonly kind: string;
  readonly capabilities: ProviderCapabilities;

  /** Opened with reading rights only it leaves no trace at the endpoint, not even a probe. */
  describe(ctx: CallContext): Promise<EndpointDescription>;

  /** Makes the image present at the endpoint. Concurrent calls leave one image. */
  imageEnsure(ctx: CallContext, source: ImageSource): Promise<ImageFacts>;
  /** Only images whose name starts with `strat-`. */
  imageList(ctx: CallContext): Promise<ImageFacts[]>;
  /** Succeeds when missing; `conflict` when machines still use it. */
  imageRemove(ctx: CallContext, image: ImageRef): Promise<void>;

  /**
   * Makes the machine exist as specified (stopped if it is new); never changes its power state. A machine that runs is synced as far as
   * that is possible while it runs: lost NICs come back, volumes appear and grow, with `liveResize` vCPUs and memory change. What could
   * not be synced shows in the facts.
   */
  machineEnsure(ctx: CallContext, spec: MachineSpec): Promise<MachineFacts>;
  /** Succeeds when it already runs. A crashed or paused machine is brought to `running`. `not_found` when missing. */
  machineStart(ctx: CallContext, ref: MachineRef): Promise<MachineFacts>;
  /** Asks the guest first and forces after `graceMs` (0 = at once). Succeeds when stopped or missing. */
  machineStop(ctx: CallContext, ref: MachineRef, options: { readonly graceMs: number }): Promise<void>;
  /** Stops by force and removes everything that belongs to it: disks, seed, volumes. Succeeds when missing. */
  machineRemove(ctx: CallContext, ref: MachineRef): Promise<void>;
  /** Null when missing. `not_ours` when the name is taken by an object without our mark. */
  machineObserve(ctx: CallContext, ref: MachineRef): Promise<MachineFacts | null>;
  /** Everything at the endpoint, also what is not ours (`owner: null`). */
  machineList(ctx: CallContext): Promise<MachineFacts[]>;

  /** Halts all of a machine until `machineStart`. Succeeds when it is paused already; `conflict` when it does not run, `not_found` when missing. */
  machinePause(ctx: CallContext, ref: MachineRef): Promise<MachineFacts>;

  /** Keeps the state of all disks and volumes under this name; in any power state, of a running machine as after a power cut. Succeeds when it exists. */
  snapshotEnsure(ctx: CallContext, ref: MachineRef, name: string): Promise<SnapshotFacts>;
  /** Brings disks and volumes back. The machine must be stopped (`conflict`) and stays so; other snapshots, also later ones, stay. `not_found` when missing. */
  snapshotRevert(ctx: CallContext, ref: MachineRef, name: string): Promise<void>;
  /** Succeeds when missing. The machine keeps its present state, running or not. */
  snapshotRemove(ctx: CallContext, ref: MachineRef, name: string): Promise<void>;
  /** Oldest first; only ours. */
  snapshotList(ctx: CallContext, ref: MachineRef): Promise<SnapshotFacts[]>;

  /** Everything at the endpoint with what its records say of origin. Read only: leaves no trace at the endpoint, and works with read-only rights. */
  inventory(ctx: CallContext): Promise<InventoryItem[]>;

  /** Runs a command in the guest. `endpoint_busy` while the guest is not ready for it yet (also: stopped), `not_found` when missing. A non-zero exit code is a result, not an error. */
  channelRun(ctx: CallContext, ref: MachineRef, command: ChannelCommand): Promise<ChannelResult>;
  /** Serial console as a byte stream; `capability_missing` where there is none. */
  consoleOpen(ctx: CallContext, ref: MachineRef): Promise<Duplex>;

  /** Delivers events (of machines of ours at least) until `ctx.signal` aborts (then resolves) or the connection is lost (then rejects). Resolves `onReady` once subscribed. */
  watch(ctx: CallContext, onEvent: (event: MachineEvent) => void, onReady: () => void): Promise<void>;

  /** Closes connections. Nothing at the endpoint changes. */
  close(): Promise<void>;
}

/** How a provider is made from the endpoint row. `config` was parsed with the provider's own zod schema. */
export interface ProviderFactory {
  readonly kind: string;
  /** Parses and validates the endpoint's configuration, then connects lazily: no I/O until the first call. */
  open(config: unknown): Provider;
  /** The same configuration with no more than reading rights, where this kind of endpoint knows them: for endpoints that are only observed. */
  readOnly?(config: unknown): unknown;
}
