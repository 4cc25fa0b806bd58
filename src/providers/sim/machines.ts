/**
 * What an endpoint of the simulated site does with machines. Synchronous but for the patience with a hung guest, so one call is atomic
 * and two concurrent `ensure` cannot make two objects: the simulated names are unique. What runs inside them is in guests.ts, what may
 * happen to them behind the control plane's back in damage.ts.
 */
import { randomUUID } from "node:crypto";
import { AppError } from "#domain/error.ts";
import { sameOwner } from "#domain/owner.ts";
import { snapshotReverted, snapshotTaken, volumesSynced } from "#providers/sim/disks.ts";
import { poolsRestarted } from "#providers/sim/pools.ts";
import type { MachineRefWire, MachineSpecWire } from "#providers/sim/wire.ts";
import { blankMachine, type SimMachine, type World } from "#providers/sim/world.ts";

export interface SimEvent {
  readonly type: "machine";
  readonly name: string;
  /** Null: something else about it changed. */
  readonly power: SimMachine["power"] | "removed" | null;
  readonly reason: string;
}

export class Machines {
  readonly #world: World;
  readonly #emit: (endpoint: string, event: SimEvent) => void;

  readonly #forget: (externalId: string) => void;

  /** `forget` is told of every machine that is gone. */
  constructor(world: World, emit: (endpoint: string, event: SimEvent) => void, forget: (externalId: string) => void) {
    this.#world = world;
    this.#emit = emit;
    this.#forget = forget;
  }

  ensure(endpoint: string, spec: MachineSpecWire): object {
    const existing = this.owned(endpoint, spec);
    if (existing === null) return machineFacts(this.#create(endpoint, spec));
    if (existing.kind !== spec.kind || existing.image?.name !== spec.image.name) {
      throw new AppError("conflict", `machine ${spec.name} exists with another kind or image; remove it first`);
    }
    const wanted: SimMachine = { ...existing, ...spec, volumes: volumesSynced(existing.volumes, spec.volumes) };
    if (!sameShape(existing, wanted)) this.changed(wanted, "synced");
    return machineFacts(wanted);
  }

  start(endpoint: string, ref: MachineRefWire): object {
    const machine = this.#present(endpoint, ref);
    if (machine.power === "running") return machineFacts(machine);
    for (const nic of machine.nics) {
      if (!this.#world.segments.has(nic.attachment)) {
        throw new AppError("endpoint_refused", `machine ${ref.name} cannot start: there is no network ${nic.attachment}`);
      }
    }
    return machineFacts(this.power(machine, "running", machine.power === "paused" ? "resumed" : "started"));
  }

  pause(endpoint: string, ref: MachineRefWire): object {
    const machine = this.#present(endpoint, ref);
    if (machine.power === "paused") return machineFacts(machine);
    if (machine.power !== "running") throw new AppError("conflict", `machine ${ref.name} is ${machine.power}: nothing to pause`);
    return machineFacts(this.power(machine, "paused", "paused"));
  }

  /** `signal` aborts when the client hangs up; it has no effect on what was asked. */
  async stop(endpoint: string, ref: MachineRefWire & { readonly graceMs: number }, signal: AbortSignal): Promise<void> {
    if (this.owned(endpoint, ref)?.hung === true) await pause(ref.graceMs, signal);
    const machine = this.owned(endpoint, ref);
    if (machine !== null && machine.power !== "stopped") this.power(machine, "stopped", "stopped");
  }

  remove(endpoint: string, ref: MachineRefWire): void {
    const machine = this.owned(endpoint, ref);
    if (machine !== null) this.drop(machine, "removed");
  }

  observe(endpoint: string, ref: MachineRefWire): object | null {
    const machine = this.owned(endpoint, ref);
    return machine === null ? null : machineFacts(machine);
  }

  list(endpoint: string): object[] {
    return Array.from(this.#world.endpoint(endpoint).machines.values(), machineFacts);
  }

  inventory(endpoint: string): object[] {
    return Array.from(this.#world.endpoint(endpoint).machines.values(), (machine) => ({
      ...machineFacts(machine),
      description: machine.description,
      created: machine.createdAt === null ? null : { at: machine.createdAt, source: "created_at" },
      ownerGuess: machine.user === null ? null : { who: machine.user, source: "user.owner" },
    }));
  }

  snapshotEnsure(endpoint: string, ref: MachineRefWire & { readonly snapshot: string }): object {
    const machine = this.#present(endpoint, ref);
    const existing = machine.snapshots.find(({ name }) => name === ref.snapshot);
    if (existing !== undefined) return snapshotFacts(existing);
    const taken = snapshotTaken(machine, ref.snapshot, new Date().toISOString());
    this.put(taken);
    return snapshotFacts(taken.snapshots.at(-1)!);
  }

  snapshotRevert(endpoint: string, ref: MachineRefWire & { readonly snapshot: string }): void {
    const machine = this.#present(endpoint, ref);
    const snapshot = machine.snapshots.find(({ name }) => name === ref.snapshot);
    if (snapshot === undefined) throw new AppError("not_found", `machine ${ref.name} has no snapshot ${ref.snapshot}`);
    if (machine.power !== "stopped") throw new AppError("conflict", `machine ${ref.name} is ${machine.power}; stop it first`);
    this.put(snapshotReverted(machine, snapshot));
  }

  snapshotRemove(endpoint: string, ref: MachineRefWire & { readonly snapshot: string }): void {
    const machine = this.owned(endpoint, ref);
    const kept = machine?.snapshots.filter(({ name }) => name !== ref.snapshot) ?? [];
    if (machine !== null && kept.length < machine.snapshots.length) this.put({ ...machine, snapshots: kept });
  }

  snapshotList(endpoint: string, ref: MachineRefWire): object[] {
    return (this.owned(endpoint, ref)?.snapshots ?? []).map(snapshotFacts);
  }

  /** Null when missing; `not_ours` when it is somebody else's. */
  owned(endpoint: string, ref: MachineRefWire): SimMachine | null {
    const machine = this.#world.endpoint(endpoint).machines.get(ref.name);
    if (machine === undefined) return null;
    if (!sameOwner(machine.owner, ref.owner)) throw new AppError("not_ours", `machine ${ref.name} belongs to somebody else`);
    return machine;
  }

  /** Whoever owns it. */
  any(endpoint: string, name: string): SimMachine {
    const machine = this.#world.endpoint(endpoint).machines.get(name);
    if (machine === undefined) throw missing(name);
    return machine;
  }

  put(machine: SimMachine): void {
    this.#world.put("machine", `${machine.endpoint}/${machine.name}`, machine);
  }

  /** The applied context lives in the guest's memory, so it is gone whenever the power changes; a pause keeps the memory. */
  power(machine: SimMachine, power: SimMachine["power"], reason: string): SimMachine {
    const keeps = power === "paused" || (machine.power === "paused" && power === "running");
    const boots = machine.boots + (power === "running" ? 1 : 0);
    const lost = { contextDigest: null, hung: false, pools: poolsRestarted(machine.pools), boots };
    const changed: SimMachine = { ...machine, ...(keeps ? {} : lost), power };
    this.put(changed);
    this.#emit(machine.endpoint, { type: "machine", name: machine.name, power, reason });
    return changed;
  }

  /** A change that is none of power, and says so. */
  changed(machine: SimMachine, reason: string): void {
    this.put(machine);
    this.#emit(machine.endpoint, { type: "machine", name: machine.name, power: null, reason });
  }

  drop(machine: SimMachine, reason: string): void {
    this.#world.put("machine", `${machine.endpoint}/${machine.name}`, null);
    this.#forget(machine.externalId);
    this.#emit(machine.endpoint, { type: "machine", name: machine.name, power: "removed", reason });
  }

  #create(endpoint: string, spec: MachineSpecWire): SimMachine {
    if (!this.#world.endpoint(endpoint).images.has(spec.image.name)) {
      throw new AppError("endpoint_refused", `image ${spec.image.name} is not at the endpoint`);
    }
    const identity = { endpoint, power: "stopped", externalId: randomUUID(), createdAt: new Date().toISOString() } as const;
    const machine: SimMachine = { ...blankMachine, ...spec, ...identity, volumes: volumesSynced([], spec.volumes) };
    this.put(machine);
    return machine;
  }

  #present(endpoint: string, ref: MachineRefWire): SimMachine {
    const machine = this.owned(endpoint, ref);
    if (machine === null) throw missing(ref.name);
    return machine;
  }
}

/** Resolves after the time, or when the signal aborts. */
export async function pause(ms: number, signal: AbortSignal): Promise<void> {
  if (signal.aborted) return;
  await new Promise<void>((resolve) => {
    const timer = setTimeout(resolve, ms);
    signal.addEventListener("abort", () => (clearTimeout(timer), resolve()), { once: true });
  });
}

export function missing(name: string): AppError {
  return new AppError("not_found", `there is no machine ${name}`);
}

function sameShape(a: SimMachine, b: SimMachine): boolean {
  if (a.vcpus !== b.vcpus || a.memoryMiB !== b.memoryMiB || a.hostname !== b.hostname) return false;
  return JSON.stringify([a.nics, a.hosts, a.volumes]) === JSON.stringify([b.nics, b.hosts, b.volumes]);
}

function machineFacts(machine: SimMachine): object {
  const { name, owner, kind, power, vcpus, memoryMiB, externalId } = machine;
  const nics = machine.nics.map(({ mac, attachment }) => ({ mac, attachment }));
  const volumes = machine.volumes.map(({ name: volume, sizeMiB }) => ({ name: volume, sizeMiB }));
  return { name, owner, kind, power, vcpus, memoryMiB, nics, volumes, externalId };
}

function snapshotFacts({ name, createdAt }: { readonly name: string; readonly createdAt: string }): object {
  return { name, createdAt };
}
