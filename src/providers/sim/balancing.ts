/**
 * The simulated balancer: a machine whose applied context has `balance`. It spreads real HTTP requests over the machines of its pool, in
 * turn, and its members are changed by `/usr/lib/stratiform/balancer` in the guest (src/adapters/sim). Health is looked at when it
 * matters, so a member that cannot answer gets nothing; requests already in flight to it are lost, as they are in the field.
 */
import type { Guests, Answering } from "#providers/sim/guests.ts";
import { failed, ok, type GuestResult, type MemberLoad } from "#providers/sim/guest.ts";
import { pause, type Machines } from "#providers/sim/machines.ts";
import { memberDrained, memberJoined, memberLeft } from "#providers/sim/pools.ts";
import type { SimMachine, SimMember, SimPool, World } from "#providers/sim/world.ts";

export interface Page {
  readonly status: number;
  readonly text: string;
}

/** EX_TEMPFAIL: ask again. */
const busyCode = 75;
/** EX_UNAVAILABLE: there is no balancer running here. */
const notRunningCode = 69;
/** The longest a page may be asked to take (`/?ms=`). */
const pageMsMax = 60_000;

export class Balancing {
  readonly #world: World;
  readonly #machines: Machines;
  readonly #guests: Guests;
  #turn = 0;

  constructor(world: World, machines: Machines, guests: Guests) {
    this.#world = world;
    this.#machines = machines;
    this.#guests = guests;
  }

  /** What a machine answers to an HTTP request: its own page, or through its pool a member's. */
  async page(endpoint: string, name: string, path: string, signal: AbortSignal): Promise<Page | "silence" | "nothing"> {
    const answering = this.#guests.answering(endpoint, name);
    if (typeof answering === "string") return answering;
    const url = new URL(path, "http://sim");
    if (url.pathname === "/health") return { status: answering.httpStatus, text: "ok\n" };
    const machine = this.#machines.any(endpoint, name);
    const pool = machine.pools[0];
    const ms = Math.min(Number(url.searchParams.get("ms") ?? 0) || 0, pageMsMax);
    if (pool !== undefined) return this.#spread(machine, pool, ms, signal);
    if (ms > 0) await pause(ms, signal);
    // It may have stopped meanwhile.
    const after = this.#guests.answering(endpoint, name);
    return typeof after === "string" ? after : { status: after.httpStatus, text: `simulated ${name}\n` };
  }

  /** `list POOL`, `ensure POOL NAME ADDRESS`, `drain POOL NAME`, `remove POOL NAME`; answers JSON. */
  run(machine: SimMachine, [verb = "", poolName = "", name = "", address = ""]: readonly string[]): GuestResult {
    if (machine.contextDigest === null) return failed(notRunningCode, "balancer: not configured yet\n");
    const pool = machine.pools.find((each) => each.name === poolName);
    if (pool === undefined) return failed(1, `balancer: no pool ${poolName}\n`);
    const member = pool.members.find((each) => each.name === name);
    switch (verb) {
      case "list":
        return ok(JSON.stringify(pool.members.map((each) => this.#facts(machine, pool, each))));
      case "ensure":
        return this.#ensure(machine, pool, { name, address });
      case "drain":
        if (member !== undefined && !member.draining) this.#put(memberDrained(machine, poolName, name));
        return ok(JSON.stringify({ inFlight: member === undefined ? 0 : this.#load(machine, pool, name).inFlight }));
      case "remove": {
        if (member === undefined) return ok();
        const { inFlight } = this.#load(machine, pool, name);
        if (inFlight > 0) return failed(busyCode, `balancer: ${inFlight} requests are in flight to ${name}\n`);
        this.#put(memberLeft(machine, poolName, name));
        this.#forget(machine, pool, name);
        return ok();
      }
      default:
        return failed(2, `balancer: no such command: ${verb}\n`);
    }
  }

  #ensure(machine: SimMachine, pool: SimPool, wanted: { readonly name: string; readonly address: string }): GuestResult {
    const old = pool.members.find(({ name }) => name === wanted.name);
    const moves = old !== undefined && old.address !== wanted.address;
    const load = this.#load(machine, pool, wanted.name);
    if (moves && load.inFlight > 0) {
      this.#put(memberDrained(machine, pool.name, wanted.name));
      return failed(busyCode, `balancer: ${load.inFlight} requests are in flight to the old address of ${wanted.name}\n`);
    }
    if (moves) this.#forget(machine, pool, wanted.name);
    if (old === undefined || moves || old.draining) {
      const changed = memberJoined(machine, pool.name, wanted);
      if (changed === null) return failed(1, `balancer: pool ${pool.name} is full\n`);
      this.#put(changed);
    }
    return ok(JSON.stringify(this.#facts(machine, pool, { ...wanted, draining: false })));
  }

  async #spread(balancer: SimMachine, pool: SimPool, ms: number, signal: AbortSignal): Promise<Page> {
    const ready = pool.members.filter((member) => this.#facts(balancer, pool, member).state === "up");
    const member = ready[this.#turn++ % Math.max(ready.length, 1)];
    if (member === undefined) return { status: 503, text: "no member can take this request\n" };
    const load = this.#load(balancer, pool, member.name);
    load.inFlight++;
    load.total++;
    try {
      if (ms > 0) await pause(ms, signal);
      const answer = this.#answering(balancer, member);
      if (answer === null || typeof answer.answering === "string") return { status: 502, text: `${member.name} went away\n` };
      return { status: answer.answering.httpStatus, text: `simulated ${answer.name}\n` };
    } finally {
      load.inFlight--;
    }
  }

  #facts(balancer: SimMachine, pool: SimPool, { name, address, draining }: SimMember) {
    const load = this.#load(balancer, pool, name);
    const answer = this.#answering(balancer, { address });
    const status = answer === null || typeof answer.answering === "string" ? null : answer.answering.httpStatus;
    const passes = status !== null && (pool.healthPath === null || status < 400);
    load.wasUp ||= passes;
    const state = draining ? "draining" : passes ? "up" : load.wasUp ? "down" : "starting";
    return { name, address, port: pool.port, state, inFlight: load.inFlight, requestsTotal: load.total };
  }

  /** Whoever has the address on a network the balancer is on. */
  #answering(
    balancer: SimMachine,
    { address }: Pick<SimMember, "address">,
  ): { readonly name: string; readonly answering: Answering } | null {
    for (const { attachment } of balancer.nics) {
      const station = this.#world.stations.get(attachment)?.get(address);
      if (station === undefined || !("machine" in station)) continue;
      const { endpoint, name } = station.machine;
      return { name, answering: this.#guests.answering(endpoint, name) };
    }
    return null;
  }

  #put(machine: SimMachine | null): void {
    if (machine !== null) this.#machines.put(machine);
  }

  #load(machine: SimMachine, pool: SimPool, member: string): MemberLoad {
    const { loads } = this.#guests.memory(machine);
    const key = `${pool.name}/${member}`;
    const load = loads.get(key) ?? { inFlight: 0, total: 0, wasUp: false };
    loads.set(key, load);
    return load;
  }

  #forget(machine: SimMachine, pool: SimPool, member: string): void {
    this.#guests.memory(machine).loads.delete(`${pool.name}/${member}`);
  }
}
