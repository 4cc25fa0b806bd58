/**
 * What an endpoint of the simulated site does with machines and images. All functions are synchronous (the channel's sleep apart), so
 * one call is atomic and two concurrent `ensure` cannot make two objects: the simulated names are unique.
 */
import { randomUUID } from "node:crypto";
import { AppError } from "#domain/error.ts";
import { sameOwner } from "#domain/owner.ts";
import { guestRun, newGuestMemory, type GuestMemory } from "#providers/sim/guest.ts";
import type { ChannelRequestWire, MachineRefWire, MachineSpecWire } from "#providers/sim/wire.ts";
import type { SimImage, SimMachine, World } from "#providers/sim/world.ts";

const channelOutputLimitBytes = 1_048_576;

export interface SimEvent {
  readonly type: "machine";
  readonly name: string;
  readonly power: SimMachine["power"] | "removed";
  readonly reason: string;
}

export class Machines {
  readonly #world: World;
  readonly #emit: (endpoint: string, event: SimEvent) => void;
  readonly #memories = new Map<string, GuestMemory>();

  constructor(world: World, emit: (endpoint: string, event: SimEvent) => void) {
    this.#world = world;
    this.#emit = emit;
  }

  imageEnsure(endpoint: string, image: Omit<SimImage, "endpoint">): object {
    const existing = this.#world.endpoint(endpoint).images.get(image.name);
    if (existing !== undefined && existing.digest !== image.digest) {
      throw new AppError("endpoint_refused", `image ${image.name} exists with another digest`);
    }
    if (existing === undefined) this.#world.put("image", `${endpoint}/${image.name}`, { endpoint, ...image });
    return imageFacts(existing ?? { endpoint, ...image });
  }

  imageList(endpoint: string): object[] {
    return [...this.#world.endpoint(endpoint).images.values()].filter((image) => image.name.startsWith("strat-")).map(imageFacts);
  }

  imageRemove(endpoint: string, name: string): void {
    const { images, imageUsers } = this.#world.endpoint(endpoint);
    if ((imageUsers.get(name) ?? 0) > 0) throw new AppError("conflict", `image ${name} is used by machines`);
    if (images.has(name)) this.#world.put("image", `${endpoint}/${name}`, null);
  }

  ensure(endpoint: string, spec: MachineSpecWire): object {
    const existing = this.#owned(endpoint, spec);
    if (existing === null) return machineFacts(this.#create(endpoint, spec));
    if (existing.kind !== spec.kind || existing.image?.name !== spec.image.name) {
      throw new AppError("conflict", `machine ${spec.name} exists with another kind or image; remove it first`);
    }
    const { power, externalId, contextDigest } = existing;
    const wanted: SimMachine = { ...spec, endpoint, power, externalId, contextDigest };
    if (!sameShape(existing, wanted)) this.#put(wanted);
    return machineFacts(wanted);
  }

  start(endpoint: string, ref: MachineRefWire): object {
    const machine = this.#owned(endpoint, ref);
    if (machine === null) throw missing(ref.name);
    if (machine.power === "running") return machineFacts(machine);
    for (const nic of machine.nics) {
      if (!this.#world.segments.has(nic.attachment)) {
        throw new AppError("endpoint_refused", `machine ${ref.name} cannot start: there is no network ${nic.attachment}`);
      }
    }
    return machineFacts(this.#power(machine, "running", "started"));
  }

  stop(endpoint: string, ref: MachineRefWire): void {
    const machine = this.#owned(endpoint, ref);
    if (machine !== null && machine.power !== "stopped") this.#power(machine, "stopped", "stopped");
  }

  remove(endpoint: string, ref: MachineRefWire): void {
    const machine = this.#owned(endpoint, ref);
    if (machine !== null) this.#drop(machine, "removed");
  }

  observe(endpoint: string, ref: MachineRefWire): object | null {
    const machine = this.#owned(endpoint, ref);
    return machine === null ? null : machineFacts(machine);
  }

  list(endpoint: string): object[] {
    return Array.from(this.#world.endpoint(endpoint).machines.values(), machineFacts);
  }

  /** `signal` aborts when the client hangs up. */
  async channelRun(endpoint: string, request: ChannelRequestWire, signal: AbortSignal): Promise<object> {
    const machine = this.#owned(endpoint, request);
    if (machine === null) throw missing(request.name);
    if (machine.power !== "running") throw new AppError("endpoint_busy", `machine ${request.name} is ${machine.power}`);
    if (request.argv[0] === "/bin/sleep") return this.#sleep(request, signal);
    const result = guestRun(request.argv, request.stdin, this.#memory(machine));
    if (result.contextDigest !== undefined && result.contextDigest !== machine.contextDigest) {
      this.#put({ ...machine, contextDigest: result.contextDigest });
    }
    const { exitCode, stdout, stderr } = result;
    return { exitCode, stdout: cut(stdout), stderr: cut(stderr), truncated: cut(stdout) !== stdout || cut(stderr) !== stderr };
  }

  /** Null unless the guest answers HTTP: it runs and a context was applied. Otherwise the status it answers with. */
  httpStatus(endpoint: string, name: string): number | null {
    const machine = this.#world.endpoint(endpoint).machines.get(name);
    if (machine === undefined || machine.power !== "running" || machine.contextDigest === null) return null;
    return this.#memory(machine).httpStatus;
  }

  /** Behind the control plane's back: the plug is pulled. */
  kill(endpoint: string, name: string): void {
    const machine = this.#any(endpoint, name);
    if (machine.power !== "running") throw new AppError("conflict", `machine ${name} is ${machine.power}: nothing to kill`);
    this.#power(machine, "crashed", "killed");
  }

  /** Behind the control plane's back: gone, whoever owns it. */
  vanish(endpoint: string, name: string): void {
    const machine = this.#world.endpoint(endpoint).machines.get(name);
    if (machine !== undefined) this.#drop(machine, "removed by somebody else");
  }

  /** A machine of somebody else. */
  plant(endpoint: string, name: string): void {
    if (this.#world.endpoint(endpoint).machines.has(name)) throw new AppError("conflict", `machine ${name} exists`);
    const size = { vcpus: 1, memoryMiB: 64, nics: [], hosts: [], kind: "vm" as const };
    const identity = { endpoint, name, hostname: name, owner: null, image: null, externalId: randomUUID() };
    this.#put({ ...size, ...identity, power: "running", contextDigest: null });
  }

  behave(endpoint: string, name: string, change: { httpStatus?: number | undefined; applyExitCode?: number | undefined }): void {
    const memory = this.#memory(this.#any(endpoint, name));
    if (change.httpStatus !== undefined) memory.httpStatus = change.httpStatus;
    if (change.applyExitCode !== undefined) memory.applyExitCode = change.applyExitCode;
  }

  #create(endpoint: string, spec: MachineSpecWire): SimMachine {
    if (!this.#world.endpoint(endpoint).images.has(spec.image.name)) {
      throw new AppError("endpoint_refused", `image ${spec.image.name} is not at the endpoint`);
    }
    const machine: SimMachine = { ...spec, endpoint, power: "stopped", externalId: randomUUID(), contextDigest: null };
    this.#put(machine);
    return machine;
  }

  #owned(endpoint: string, ref: MachineRefWire): SimMachine | null {
    const machine = this.#world.endpoint(endpoint).machines.get(ref.name);
    if (machine === undefined) return null;
    if (!sameOwner(machine.owner, ref.owner)) throw new AppError("not_ours", `machine ${ref.name} belongs to somebody else`);
    return machine;
  }

  #any(endpoint: string, name: string): SimMachine {
    const machine = this.#world.endpoint(endpoint).machines.get(name);
    if (machine === undefined) throw missing(name);
    return machine;
  }

  #memory(machine: SimMachine): GuestMemory {
    const memory = this.#memories.get(machine.externalId) ?? newGuestMemory();
    this.#memories.set(machine.externalId, memory);
    return memory;
  }

  #put(machine: SimMachine): void {
    this.#world.put("machine", `${machine.endpoint}/${machine.name}`, machine);
  }

  /** The applied context lives in the guest's memory, so it is gone whenever the power changes. */
  #power(machine: SimMachine, power: SimMachine["power"], reason: string): SimMachine {
    const changed = { ...machine, power, contextDigest: null };
    const memory = this.#memories.get(machine.externalId);
    if (memory !== undefined) memory.context = null;
    this.#put(changed);
    this.#emit(machine.endpoint, { type: "machine", name: machine.name, power, reason });
    return changed;
  }

  #drop(machine: SimMachine, reason: string): void {
    this.#world.put("machine", `${machine.endpoint}/${machine.name}`, null);
    this.#memories.delete(machine.externalId);
    this.#emit(machine.endpoint, { type: "machine", name: machine.name, power: "removed", reason });
  }

  async #sleep(request: ChannelRequestWire, signal: AbortSignal): Promise<object> {
    const wantedMs = Number(request.argv[1] ?? "0") * 1_000;
    await new Promise<void>((resolve) => {
      const timer = setTimeout(resolve, Math.min(wantedMs, request.timeoutMs));
      signal.addEventListener("abort", () => (clearTimeout(timer), resolve()), { once: true });
    });
    if (wantedMs > request.timeoutMs) throw new AppError("timeout", "the command did not finish in time");
    return { exitCode: 0, stdout: "", stderr: "", truncated: false };
  }
}

function cut(text: string): string {
  const bytes = Buffer.from(text);
  return bytes.length <= channelOutputLimitBytes ? text : bytes.subarray(0, channelOutputLimitBytes).toString();
}

function missing(name: string): AppError {
  return new AppError("not_found", `there is no machine ${name}`);
}

function sameShape(a: SimMachine, b: SimMachine): boolean {
  if (a.vcpus !== b.vcpus || a.memoryMiB !== b.memoryMiB || a.hostname !== b.hostname) return false;
  return JSON.stringify([a.nics, a.hosts]) === JSON.stringify([b.nics, b.hosts]);
}

function machineFacts({ name, owner, kind, power, vcpus, memoryMiB, nics, externalId }: SimMachine): object {
  const seen = nics.map(({ mac, attachment }) => ({ mac, attachment }));
  return { name, owner, kind, power, vcpus, memoryMiB, nics: seen, externalId };
}

function imageFacts({ name, digest, sizeBytes }: SimImage): object {
  return { name, digest, sizeBytes };
}
