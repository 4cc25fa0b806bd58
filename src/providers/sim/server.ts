/**
 * The simulated site's door: HTTP/JSON on a unix socket. `POST /endpoints/<name>/<operation>` and `/fabric/<operation>` are the calls
 * of the contracts, subject to scripted faults; `POST /admin/<operation>` scripts the faults and acts behind the control plane's back.
 */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { Duplex } from "node:stream";
import { z } from "zod";
import { AppError, errorCodes, isAppError, type ErrorCode } from "#domain/error.ts";
import { adminOperations } from "#providers/sim/admin.ts";
import { Faults } from "#providers/sim/faults.ts";
import { Balancing } from "#providers/sim/balancing.ts";
import { Damage } from "#providers/sim/damage.ts";
import { Guests } from "#providers/sim/guests.ts";
import { Images } from "#providers/sim/images.ts";
import { Machines, type SimEvent } from "#providers/sim/machines.ts";
import { Network } from "#providers/sim/network.ts";
import * as wire from "#providers/sim/wire.ts";
import { World } from "#providers/sim/world.ts";

const bodyLimitBytes = 4 * 1024 * 1024;

export type Operation = (body: unknown, signal: AbortSignal) => unknown;

export class SimServer {
  readonly world: World;
  readonly images: Images;
  readonly machines: Machines;
  readonly guests: Guests;
  readonly damage: Damage;
  readonly network: Network;
  readonly faults = new Faults(Date.now);
  /** How often each operation was called, for verdicts of tests: `a/machineEnsure` to count. */
  readonly calls = new Map<string, number>();
  readonly eventFaults = new Map<string, { readonly delayMs: number; readonly lose: boolean }>();
  readonly #watchers = new Map<string, Set<ServerResponse>>();
  /** Calls under way, by endpoint: a daemon that restarts cuts them. */
  readonly #open = new Map<string, Set<ServerResponse>>();
  readonly #http: Server;
  readonly #fabric: Readonly<Record<string, Operation>>;
  readonly #admin: Readonly<Record<string, Operation>>;

  constructor(journalPath: string) {
    this.world = new World(journalPath);
    const emit = (endpoint: string, event: SimEvent) => this.#emit(endpoint, event);
    this.machines = new Machines(this.world, emit, (externalId) => this.guests.forget(externalId));
    this.images = new Images(this.world);
    this.guests = new Guests(this.world, this.machines);
    this.damage = new Damage(this.world, this.machines);
    const balancing = new Balancing(this.world, this.machines, this.guests);
    this.guests.programs.set("/usr/lib/stratiform/balancer", (machine, args) => balancing.run(machine, args));
    this.network = new Network(this.world, this.guests, balancing);
    this.#fabric = fabricOperations(this.network);
    this.#admin = adminOperations(this);
    this.#http = createServer((request, response) => void this.#serve(request, response));
    this.#http.on("upgrade", (request, socket, head) => void this.#upgrade(request, socket, head));
    this.#http.keepAliveTimeout = 0; // A client that pauses must not find its connection closed under its next call.
  }

  async listen(socketPath: string): Promise<void> {
    await this.network.resume();
    await new Promise<void>((resolve, reject) => {
      this.#http.once("error", reject);
      this.#http.listen(socketPath, resolve);
    });
  }

  /** Ends the event streams of an endpoint, as a lost connection does. */
  dropWatchers(scope: string): void {
    for (const [endpoint, watchers] of this.#watchers) {
      if (scope !== "*" && scope !== endpoint) continue;
      for (const response of watchers) response.destroy();
    }
  }

  /** Ends everything that is under way at an endpoint. What had been asked for may still be done. */
  cut(scope: string): void {
    this.dropWatchers(scope);
    for (const [endpoint, open] of this.#open) {
      if (scope !== "*" && scope !== endpoint) continue;
      for (const response of open) response.destroy();
    }
  }

  async #serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const hungUp = new AbortController();
    response.on("close", () => hungUp.abort());
    try {
      const body = JSON.parse(await readBody(request)) as unknown;
      const [area, ...rest] = (request.url ?? "").slice(1).split("/");
      const [scope, operation] = area === "endpoints" ? [rest[0] ?? "", rest[1] ?? ""] : [area ?? "", rest[0] ?? ""];
      if (area === "admin") return reply(response, 200, { result: (await this.#run(this.#admin, operation, body, hungUp.signal)) ?? null });
      const table = area === "fabric" ? this.#fabric : endpointOperations(this, scope);
      this.#underWay(scope, response);
      const verdict = await this.#suffer(scope, operation, body);
      if (verdict === "drop") return void response.destroy();
      if (operation === "watch") return this.#watch(scope, response);
      const result = (await this.#run(table, operation, body, hungUp.signal)) ?? null;
      if (verdict === "lose") return void response.destroy();
      if (verdict !== "fine") throw new AppError(asCode(verdict.failAfter), `scripted fault: ${verdict.failAfter} after ${operation}`);
      reply(response, 200, { result });
    } catch (error) {
      reply(response, 400, { error: publicError(error) });
    }
  }

  async #run(table: Readonly<Record<string, Operation>>, operation: string, body: unknown, signal: AbortSignal): Promise<unknown> {
    const run = Object.hasOwn(table, operation) ? table[operation] : undefined;
    if (run === undefined) throw new AppError("invalid_input", `no such operation: ${operation}`);
    return await run(body, signal);
  }

  /** Counts the call and lets the scripted faults at it. */
  async #suffer(scope: string, operation: string, body: unknown): Promise<"drop" | "lose" | "fine" | { readonly failAfter: string }> {
    const key = `${scope}/${operation}`;
    this.calls.set(key, (this.calls.get(key) ?? 0) + 1);
    if (this.faults.isUnreachable(scope)) return "drop";
    const verdict = this.faults.judge(scope, operation, nameOf(body));
    if (verdict.delayMs > 0) await new Promise((resolve) => setTimeout(resolve, verdict.delayMs));
    if (verdict.fail !== undefined) throw new AppError(asCode(verdict.fail), `scripted fault: ${verdict.fail} at ${operation}`);
    if (verdict.loseAnswer) return "lose";
    return verdict.failAfter === undefined ? "fine" : { failAfter: verdict.failAfter };
  }

  #underWay(scope: string, response: ServerResponse): void {
    const open = this.#open.get(scope) ?? new Set();
    this.#open.set(scope, open.add(response));
    response.on("close", () => open.delete(response));
  }

  #watch(endpoint: string, response: ServerResponse): void {
    const watchers = this.#watchers.get(endpoint) ?? new Set();
    this.#watchers.set(endpoint, watchers.add(response));
    response.on("close", () => watchers.delete(response));
    response.writeHead(200, { "content-type": "application/x-ndjson" }).write('{"ready":true}\n');
  }

  #emit(endpoint: string, event: SimEvent): void {
    const fault = this.eventFaults.get(endpoint);
    if (fault?.lose === true) return;
    const line = `${JSON.stringify(event)}\n`;
    const send = () => {
      for (const response of this.#watchers.get(endpoint) ?? []) response.write(line);
    };
    if (fault === undefined) send();
    else setTimeout(send, fault.delayMs);
  }

  async #upgrade(request: IncomingMessage, socket: Duplex, head: Buffer): Promise<void> {
    socket.on("error", () => {}); // A peer that hangs up is no concern of the site.
    try {
      const url = new URL(request.url ?? "", "http://sim");
      if (url.pathname !== "/fabric/reach") throw new AppError("invalid_input", `no such stream: ${url.pathname}`);
      const target = wire.reachTarget.parse(Object.fromEntries(url.searchParams));
      const verdict = await this.#suffer("fabric", "reach", target);
      if (verdict !== "fine") return void socket.destroy();
      const station = this.network.target(target);
      socket.write("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\n");
      if (head.length > 0) socket.unshift(head);
      this.network.serve(socket, station, target.port);
    } catch (error) {
      const text = JSON.stringify({ error: publicError(error) });
      socket.end(`HTTP/1.1 400 Bad Request\r\nConnection: close\r\nContent-Length: ${Buffer.byteLength(text)}\r\n\r\n${text}`);
    }
  }
}

function endpointOperations({ images, machines, guests }: SimServer, endpoint: string): Readonly<Record<string, Operation>> {
  return {
    describe: () => ({ host: `sim-${endpoint}` }),
    imageEnsure: (body) => images.ensure(endpoint, wire.imageFacts.parse(body)),
    imageList: () => images.list(endpoint),
    imageRemove: (body) => images.remove(endpoint, wire.imageRef.parse(body).name),
    machineEnsure: (body) => machines.ensure(endpoint, wire.machineSpec.parse(body)),
    machineStart: (body) => machines.start(endpoint, wire.machineRef.parse(body)),
    machineStop: (body, signal) => machines.stop(endpoint, wire.stopRequest.parse(body), signal),
    machinePause: (body) => machines.pause(endpoint, wire.machineRef.parse(body)),
    machineRemove: (body) => machines.remove(endpoint, wire.machineRef.parse(body)),
    machineObserve: (body) => machines.observe(endpoint, wire.machineRef.parse(body)),
    machineList: () => machines.list(endpoint),
    snapshotEnsure: (body) => machines.snapshotEnsure(endpoint, wire.snapshotRef.parse(body)),
    snapshotRevert: (body) => machines.snapshotRevert(endpoint, wire.snapshotRef.parse(body)),
    snapshotRemove: (body) => machines.snapshotRemove(endpoint, wire.snapshotRef.parse(body)),
    snapshotList: (body) => machines.snapshotList(endpoint, wire.machineRef.parse(body)),
    inventory: () => machines.inventory(endpoint),
    channelRun: (body, signal) => guests.channelRun(endpoint, wire.channelRequest.parse(body), signal),
  };
}

function fabricOperations(network: Network): Readonly<Record<string, Operation>> {
  return {
    segmentEnsure: (body) => network.segmentEnsure(wire.segmentSpec.parse(body)),
    segmentRemove: (body) => network.segmentRemove(wire.segmentRef.parse(body)),
    segmentList: () => network.segmentList(),
    exposureEnsure: (body) => network.exposureEnsure(wire.exposureSpec.parse(body)),
    exposureRemove: (body) => network.exposureRemove(wire.exposureRef.parse(body)),
    exposureList: () => network.exposureList(),
  };
}

async function readBody(request: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  for await (const chunk of request as AsyncIterable<Buffer>) {
    bytes += chunk.length;
    if (bytes > bodyLimitBytes) throw new AppError("invalid_input", "the request is too long");
    chunks.push(chunk);
  }
  return bytes === 0 ? "{}" : Buffer.concat(chunks).toString();
}

function reply(response: ServerResponse, status: number, answer: object): void {
  if (response.destroyed || response.headersSent) return;
  const text = JSON.stringify(answer);
  response.writeHead(status, { "content-type": "application/json", "content-length": Buffer.byteLength(text) }).end(text);
}

function nameOf(body: unknown): string | undefined {
  const name = typeof body === "object" && body !== null && "name" in body ? body.name : undefined;
  return typeof name === "string" ? name : undefined;
}

function asCode(code: string): ErrorCode {
  return Object.hasOwn(errorCodes, code) ? (code as ErrorCode) : "internal";
}

function publicError(error: unknown): { readonly code: ErrorCode; readonly message: string } {
  if (isAppError(error)) return { code: error.code, message: error.message };
  if (error instanceof z.ZodError) return { code: "invalid_input", message: z.prettifyError(error) };
  if (error instanceof SyntaxError) return { code: "invalid_input", message: "the request is not JSON" };
  return { code: "internal", message: `the simulator failed: ${String(error)}` };
}
