/**
 * The simulated fabric. Isolation is a rule over the simulated world (`find`), enforced for probe hosts; reach and exposures carry real
 * bytes: an exposure listens on 127.0.0.1, and a running guest with an applied context answers HTTP.
 */
import { createServer as createHttpServer, type IncomingMessage, type Server as HttpServer, type ServerResponse } from "node:http";
import { createServer, type Server, type Socket } from "node:net";
import type { Duplex } from "node:stream";
import { prefixContains } from "#domain/cidr.ts";
import { AppError } from "#domain/error.ts";
import { sameOwner, type OwnerMark } from "#domain/owner.ts";
import type { Balancing } from "#providers/sim/balancing.ts";
import type { Guests } from "#providers/sim/guests.ts";
import type { ExposureSpecWire, ReachTargetWire, SegmentSpecWire } from "#providers/sim/wire.ts";
import type { SimExposure, SimProbe, Station, World } from "#providers/sim/world.ts";

/** Where exposures listen: the simulated outside is this host. */
export const outsideAddress = "127.0.0.1";

interface Listener {
  readonly server: Server;
  readonly port: number;
  /** Open connections: removing the exposure cuts them, or its port would stay taken. */
  readonly sockets: Set<Socket>;
}

interface Ref {
  readonly name: string;
  readonly owner: OwnerMark;
}

export class Network {
  readonly #world: World;
  readonly #insides: Guests;
  readonly #listeners = new Map<string, Listener>();
  /** One change of an exposure at a time: listening takes a turn of the event loop. */
  #queue: Promise<unknown> = Promise.resolve();
  readonly #guests: HttpServer;
  readonly #guestOf = new WeakMap<object, { readonly endpoint: string; readonly name: string }>();

  constructor(world: World, insides: Guests, balancing: Balancing) {
    this.#world = world;
    this.#insides = insides;
    this.#guests = createHttpServer((request, response) => void this.#respond(balancing, request, response));
    // A client that pauses must not find its connection closed under its next request.
    this.#guests.keepAliveTimeout = 0;
  }

  /** Listens again for the exposures of the journal. A port somebody took meanwhile is a failure to start. */
  async resume(): Promise<void> {
    for (const { name, port } of this.#world.exposures.values()) this.#listeners.set(name, await this.#listen(name, port));
  }

  segmentEnsure(spec: SegmentSpecWire): object {
    const existing = this.#world.segments.get(spec.name);
    assertOurs("segment", existing, spec);
    if (existing !== undefined && (existing.prefix !== spec.prefix || existing.gateway !== spec.gateway)) {
      throw new AppError("conflict", `segment ${spec.name} exists with prefix ${existing.prefix}`);
    }
    if (existing === undefined || existing.isolated !== spec.isolated) this.#world.put("segment", spec.name, spec);
    return segmentFacts(spec);
  }

  segmentRemove(ref: Ref): void {
    const existing = this.#world.segments.get(ref.name);
    assertOurs("segment", existing, ref);
    if (existing !== undefined) this.#world.put("segment", ref.name, null);
  }

  segmentList(): object[] {
    return Array.from(this.#world.segments.values(), segmentFacts);
  }

  exposureEnsure(spec: ExposureSpecWire): Promise<object> {
    return this.#exclusive(async () => {
      const existing = this.#world.exposures.get(spec.name);
      assertOurs("exposure", existing, spec);
      const listener = this.#listeners.get(spec.name);
      const port = spec.port ?? existing?.port ?? 0;
      // The new port first: when it is taken, the old one goes on serving.
      const current = listener === undefined || listener.port !== port ? await this.#listen(spec.name, port) : listener;
      if (listener !== undefined && listener !== current) await silence(listener);
      this.#listeners.set(spec.name, current);
      const exposure: SimExposure = { ...spec, port: current.port };
      if (JSON.stringify(existing) !== JSON.stringify(exposure)) this.#world.put("exposure", spec.name, exposure);
      return exposureFacts(exposure);
    });
  }

  exposureRemove(ref: Ref): Promise<void> {
    return this.#exclusive(async () => {
      const existing = this.#world.exposures.get(ref.name);
      assertOurs("exposure", existing, ref);
      if (existing === undefined) return;
      this.#world.put("exposure", ref.name, null);
      const listener = this.#listeners.get(ref.name);
      this.#listeners.delete(ref.name);
      if (listener !== undefined) await silence(listener);
    });
  }

  exposureList(): object[] {
    return Array.from(this.#world.exposures.values(), exposureFacts);
  }

  /** The station that answers at the target, seen from the fabric itself. */
  target({ segment, address, port }: ReachTargetWire): Station {
    const known = this.#world.segments.get(segment);
    if (known !== undefined && !prefixContains(known.prefix, address)) {
      throw new AppError("invalid_input", `${address} is not an address of segment ${segment}`);
    }
    const station = known === undefined ? undefined : this.#world.stations.get(segment)?.get(address);
    if (station === undefined || !this.#answers(station, port)) {
      throw new AppError("endpoint_unreachable", `nothing answers at ${address}:${port} on segment ${segment}`);
    }
    return station;
  }

  /** Connects a byte stream to a station. */
  serve(socket: Duplex, station: Station, port: number): void {
    socket.on("error", () => {}); // A peer that hangs up is no concern of the site.
    if ("probe" in station) return void socket.end(this.#world.probes.get(station.probe)?.listeners[String(port)] ?? "");
    this.#guestOf.set(socket, station.machine);
    this.#guests.emit("connection", socket);
  }

  /** What a probe host hears when it connects: the whole isolation rule of the simulated site. Null: refused or lost. */
  probeFetch(probe: SimProbe, address: string, port: number): string | null {
    const station = this.#find(probe, address, port);
    if (station === null || !this.#answers(station, port)) return null;
    if ("machine" in station) return `simulated ${station.machine.name}\n`;
    return this.#world.probes.get(station.probe)?.listeners[String(port)] ?? null;
  }

  async #respond(balancing: Balancing, request: IncomingMessage, response: ServerResponse): Promise<void> {
    const guest = this.#guestOf.get(request.socket);
    if (guest === undefined) return void request.socket.destroy();
    const hungUp = new AbortController();
    response.on("close", () => hungUp.abort());
    const page = await balancing.page(guest.endpoint, guest.name, request.url ?? "/", hungUp.signal);
    if (page === "silence" || response.destroyed) return;
    // The machine may have stopped since the connection was made.
    if (page === "nothing") return void request.socket.destroy();
    response.writeHead(page.status, { "content-type": "text/plain", "content-length": Buffer.byteLength(page.text) }).end(page.text);
  }

  #find(from: SimProbe, address: string, port: number): Station | null {
    if (from.segment === null && address === outsideAddress) {
      const exposed = [...this.#world.exposures.values()].find((exposure) => exposure.port === port);
      return exposed === undefined ? null : (this.#world.stations.get(exposed.target.segment)?.get(exposed.target.address) ?? null);
    }
    const own = from.segment === null ? undefined : this.#world.segments.get(from.segment);
    if (from.segment !== null && own === undefined) return null;
    const near = own === undefined ? undefined : this.#world.stations.get(own.name)?.get(address);
    if (near !== undefined) return near;
    // Other segments are not in the outside, so there is no way from one to another. Isolated ones have no way out at all.
    return own?.isolated === true ? null : (this.#world.stations.get("")?.get(address) ?? null);
  }

  #answers(station: Station, port: number): boolean {
    if ("probe" in station) return this.#world.probes.get(station.probe)?.listeners[String(port)] !== undefined;
    return this.#insides.answering(station.machine.endpoint, station.machine.name) !== "nothing";
  }

  #exclusive<T>(work: () => Promise<T>): Promise<T> {
    const result = this.#queue.then(work);
    this.#queue = result.catch(() => {});
    return result;
  }

  async #listen(name: string, wantedPort: number): Promise<Listener> {
    const sockets = new Set<Socket>();
    const server = createServer((socket) => {
      sockets.add(socket);
      socket.on("close", () => sockets.delete(socket));
      this.#forward(name, socket);
    });
    await new Promise<void>((resolve, reject) => {
      server.once("error", (cause) => reject(new AppError("conflict", `port ${wantedPort} is taken`, { cause })));
      server.listen(wantedPort, outsideAddress, resolve);
    });
    const bound = server.address();
    return { server, sockets, port: bound !== null && typeof bound === "object" ? bound.port : wantedPort };
  }

  #forward(name: string, socket: Socket): void {
    try {
      const target = this.#world.exposures.get(name)?.target;
      if (target === undefined) return void socket.destroy();
      this.serve(socket, this.target(target), target.port);
    } catch {
      socket.resetAndDestroy(); // What a real forwarder does when nothing answers behind it.
    }
  }
}

async function silence({ server, sockets }: Listener): Promise<void> {
  const closed = new Promise<void>((resolve) => server.close(() => resolve()));
  for (const socket of sockets) socket.destroy();
  await closed;
}

function assertOurs(noun: string, existing: { readonly owner: OwnerMark } | undefined, ref: Ref): void {
  if (existing === undefined || sameOwner(existing.owner, ref.owner)) return;
  throw new AppError("not_ours", `${noun} ${ref.name} belongs to somebody else`);
}

function segmentFacts({ name, owner, prefix, gateway, isolated }: SegmentSpecWire): object {
  return { name, owner, prefix, gateway, isolated, attachment: name };
}

function exposureFacts({ name, owner, target, port }: SimExposure): object {
  return { name, owner, address: outsideAddress, port, target };
}
