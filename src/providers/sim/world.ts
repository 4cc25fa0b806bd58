/**
 * The simulated world: endpoints with machines and images, and one fabric with segments, exposures and probe hosts. It only keeps state;
 * what may be done to it is decided in machines.ts and network.ts. Every change goes through `put`, which journals first. No
 * operation walks over all machines but the ones that list them.
 */
import type { OwnerMark } from "#domain/owner.ts";
import { Journal } from "#providers/sim/journal.ts";
import type { ExposureSpecWire, MachineSpecWire, SegmentSpecWire } from "#providers/sim/wire.ts";

/** Text by absolute path. */
export type SimFiles = Readonly<Record<string, string>>;

export interface SimVolume {
  readonly name: string;
  readonly sizeMiB: number;
  readonly files: SimFiles;
}

export interface SimSnapshot {
  readonly name: string;
  readonly createdAt: string;
  /** Of the system disk. */
  readonly files: SimFiles;
  readonly volumes: readonly SimVolume[];
}

export interface SimMember {
  readonly name: string;
  readonly address: string;
  readonly draining: boolean;
}

/** What a machine that balances spreads requests over. */
export interface SimPool {
  readonly name: string;
  readonly port: number;
  readonly healthPath: string | null;
  /** Of the context that was applied last: all there is after a start. */
  readonly applied: readonly { readonly name: string; readonly address: string }[];
  readonly members: readonly SimMember[];
}

export interface SimMachine extends Omit<MachineSpecWire, "owner" | "image" | "volumes"> {
  readonly endpoint: string;
  readonly owner: OwnerMark | null;
  readonly image: { readonly name: string; readonly digest: string } | null;
  readonly power: "running" | "stopped" | "paused" | "crashed";
  readonly externalId: string;
  /** How often it was started: what a guest holds in memory belongs to one boot. */
  readonly boots: number;
  /** It runs, but neither its channel nor its services ever answer. Ends with the boot. */
  readonly hung: boolean;
  /** sha256 of the context that was applied since the last start. The context itself holds secrets and is never written. */
  readonly contextDigest: string | null;
  /** What the guest wrote to its system disk. */
  readonly files: SimFiles;
  readonly volumes: readonly SimVolume[];
  readonly snapshots: readonly SimSnapshot[];
  readonly pools: readonly SimPool[];
  /** Records an inventory reads; null where nobody wrote any. */
  readonly createdAt: string | null;
  readonly description: string | null;
  readonly user: string | null;
}

/** What nobody specified: a machine as it is made. */
export const blankMachine = {
  boots: 0,
  hung: false,
  contextDigest: null,
  files: {},
  volumes: [],
  snapshots: [],
  pools: [],
  createdAt: null,
  description: null,
  user: null,
} as const satisfies Partial<SimMachine>;

export interface SimImage {
  readonly endpoint: string;
  readonly name: string;
  readonly digest: string;
  readonly sizeBytes: number;
}

export type SimExposure = ExposureSpecWire & { readonly port: number };

/** A tiny host for isolation tests; `segment` null: outside the site. */
export interface SimProbe {
  readonly name: string;
  readonly segment: string | null;
  readonly address: string;
  /** Port to answer. */
  readonly listeners: Readonly<Record<string, string>>;
}

interface Endpoint {
  readonly machines: Map<string, SimMachine>;
  readonly images: Map<string, SimImage>;
  /** How many machines use each image, so that removing one need not look at all machines. */
  readonly imageUsers: Map<string, number>;
}

interface Tables {
  machine: SimMachine;
  image: SimImage;
  segment: SegmentSpecWire;
  exposure: SimExposure;
  probe: SimProbe;
}

type Entry = { [K in keyof Tables]: { table: K; key: string; value: Tables[K] | null } }[keyof Tables];

/** Who has an address on a segment. */
export type Station = { readonly machine: { readonly endpoint: string; readonly name: string } } | { readonly probe: string };

export class World {
  readonly endpoints = new Map<string, Endpoint>();
  readonly segments = new Map<string, SegmentSpecWire>();
  readonly exposures = new Map<string, SimExposure>();
  readonly probes = new Map<string, SimProbe>();
  /** Segment (or "" for outside) to address to station. */
  readonly stations = new Map<string, Map<string, Station>>();
  readonly #journal: Journal<Entry>;

  constructor(journalPath: string) {
    this.#journal = new Journal(journalPath, (entry) => this.#apply(entry));
  }

  get changes(): number {
    return this.#journal.length;
  }

  endpoint(name: string): Endpoint {
    let endpoint = this.endpoints.get(name);
    if (endpoint === undefined) {
      endpoint = { machines: new Map(), images: new Map(), imageUsers: new Map() };
      this.endpoints.set(name, endpoint);
    }
    return endpoint;
  }

  /** Journals, then changes. `value` null removes. `key` is `endpoint/name` for machines and images, else the name. */
  put<K extends keyof Tables>(table: K, key: string, value: Tables[K] | null): void {
    const entry = { table, key, value } as Entry;
    this.#journal.append(entry);
    this.#apply(entry);
  }

  close(): void {
    this.#journal.close();
  }

  #apply(entry: Entry): void {
    switch (entry.table) {
      case "machine":
        return this.#applyMachine(entry.key, entry.value);
      case "image": {
        const [endpoint, name] = split(entry.key);
        return set(this.endpoint(endpoint).images, name, entry.value);
      }
      case "segment":
        return set(this.segments, entry.key, entry.value);
      case "exposure":
        return set(this.exposures, entry.key, entry.value);
      case "probe": {
        const old = this.probes.get(entry.key);
        if (old !== undefined) this.stations.get(old.segment ?? "")?.delete(old.address);
        set(this.probes, entry.key, entry.value);
        if (entry.value !== null) this.#attach(entry.value.segment ?? "", entry.value.address, { probe: entry.key });
      }
    }
  }

  #applyMachine(key: string, value: SimMachine | null): void {
    const [endpointName, name] = split(key);
    const endpoint = this.endpoint(endpointName);
    const old = endpoint.machines.get(name);
    if (old !== undefined) {
      countUser(endpoint, old, -1);
      for (const nic of old.nics) this.#detach(nic.attachment, nic.address, old);
    }
    // A journal of an earlier version does not name what came later.
    set(endpoint.machines, name, value === null ? null : { ...blankMachine, ...value });
    if (value === null) return;
    countUser(endpoint, value, +1);
    for (const nic of value.nics) this.#attach(nic.attachment, nic.address, { machine: { endpoint: endpointName, name } });
  }

  #attach(segment: string, address: string, station: Station): void {
    const there = this.stations.get(segment) ?? new Map<string, Station>();
    this.stations.set(segment, there.set(address, station));
  }

  /** Only if the address still belongs to this machine: another one may have taken it since. */
  #detach(segment: string, address: string, machine: SimMachine): void {
    const there = this.stations.get(segment);
    const station = there?.get(address);
    if (station === undefined || !("machine" in station)) return;
    if (station.machine.endpoint === machine.endpoint && station.machine.name === machine.name) there?.delete(address);
  }
}

function countUser(endpoint: Endpoint, machine: SimMachine, by: number): void {
  if (machine.image === null) return;
  endpoint.imageUsers.set(machine.image.name, (endpoint.imageUsers.get(machine.image.name) ?? 0) + by);
}

function set<T>(map: Map<string, T>, key: string, value: T | null): void {
  if (value === null) map.delete(key);
  else map.set(key, value);
}

function split(key: string): [string, string] {
  const slash = key.indexOf("/");
  return [key.slice(0, slash), key.slice(slash + 1)];
}
