/**
 * The product as it is started by `strat up`, in this process: embedded database, engine, loops, HTTP API on a free port; and a
 * simulated site as a process of its own, registered through the API. Everything a test does goes over HTTP; verdicts come from the
 * tables and from the simulated site's own world.
 */
import { randomUUID } from "node:crypto";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { tokenHash, makeToken } from "#app/session.ts";
import type { Platform } from "#app/context.ts";
import type { Log } from "#domain/context.ts";
import { type ControlPlaneOptions, startControlPlane } from "#main.ts";
import { SimControl, type SimDump } from "#providers/sim/control.ts";
import { ask, makeClient, type Schemas, type StratiformClient } from "#sdk/client.ts";
import { migrations } from "#store/migrations/all.ts";
import { startTestPostgres, type TestPostgres } from "./postgres.ts";
import { startSim, type RunningSim } from "./sim.ts";
import { sqlOf, type Sql } from "./sql.ts";

export interface TestControlPlane {
  readonly url: string;
  readonly home: string;
  /** Of the admin. */
  readonly token: string;
  readonly client: StratiformClient;
  readonly platform: Platform;
  readonly sql: Sql;
  readonly sim: SimControl;
  /** Every line the control plane logged, as JSON. */
  readonly logged: readonly string[];
  simDump(): Promise<SimDump>;
  /** A request as it is, without the SDK: method, path, and what differs from a JSON request of the admin. */
  request(method: string, path: string, options?: RawOptions): Promise<RawAnswer>;
  /** A new principal of the operator's organization with one role; returns its token. */
  principal(name: string, role: "admin" | "member" | "automation" | null): Promise<string>;
  /** Orders a deployment and waits for its end. */
  deploy(name: string): Promise<Schemas["Order"]>;
  waitFor(order: Schemas["Order"]): Promise<Schemas["Order"]>;
  close(): Promise<void>;
}

export interface RawOptions {
  /** Undefined: the admin's. Null: none. */
  readonly token?: string | null;
  readonly body?: unknown;
  readonly headers?: Readonly<Record<string, string>>;
}

export interface RawAnswer {
  readonly status: number;
  readonly headers: Headers;
  readonly text: string;
  /** The body as JSON. */
  json<T = Record<string, unknown>>(): T;
}

const orderLimitMs = 60_000;
const images = ["tiny-node", "tiny-edge"];

export interface TestControlPlaneOptions {
  readonly endpoints?: readonly string[];
  /** True: the database it would bring along, in its home and as durable as in production. Default: a quick one beside it. */
  readonly ownDatabase?: boolean;
  /** The built console, for tests in a browser. */
  readonly findConsole?: NonNullable<ControlPlaneOptions["findConsole"]>;
}

export async function startTestControlPlane(options: TestControlPlaneOptions = {}): Promise<TestControlPlane> {
  const home = mkdtempSync(join(tmpdir(), "stratiform-control-plane-"));
  const paths = { journal: join(home, "sim.journal"), socket: join(home, "sim.sock") };
  const logged: string[] = [];
  const postgres = options.ownDatabase === true ? null : await startTestPostgres(migrations);
  const database = postgres === null ? {} : { databaseUrl: await postgres.createDatabase() };
  const served = options.findConsole === undefined ? {} : { findConsole: options.findConsole };
  const [site, plane] = await Promise.all([
    startSim(paths),
    startControlPlane({ home, port: 0, log: capturingLog(logged), ...database, ...served }),
  ]);
  const token = readFileSync(plane.tokenFile, "utf8").trim();
  const client = makeClient({ url: plane.url, token });
  const sim = new SimControl(paths.socket);
  await registerSim(client, paths.socket, options.endpoints ?? ["a"]);
  const waitFor = (order: Schemas["Order"]) => waitForOrder(client, order);
  return {
    url: plane.url,
    home,
    token,
    client,
    platform: plane.platform,
    sql: sqlOf(plane.platform.database),
    sim,
    logged,
    simDump: () => sim.dump(),
    request: (method, path, raw) => rawRequest(plane.url, token, method, path, raw ?? {}),
    principal: (name, role) => addPrincipal(sqlOf(plane.platform.database), plane.platform.operatorId, name, role),
    deploy: async (name) => waitFor(await ask(client.POST("/v1/orders", { body: deployment(name) }))),
    waitFor,
    close: () => closeAll(plane, sim, site, home, postgres),
  };
}

export function deployment(name: string): Schemas["OrderRequest"] {
  return { action: "deploy", input: { offering: "tiny", name } };
}

async function closeAll(plane: { close(): Promise<void> }, sim: SimControl, site: RunningSim, home: string, postgres: TestPostgres | null) {
  sim.close();
  await plane.close();
  await site.stop();
  await postgres?.close();
  rmSync(home, { recursive: true, force: true });
}

function capturingLog(lines: string[]): Log {
  const add = (level: string) => (fields: object, message: string) => void lines.push(JSON.stringify({ level, message, ...fields }));
  return { debug: add("debug"), info: add("info"), warn: add("warn"), error: add("error") };
}

async function registerSim(client: StratiformClient, socket: string, endpoints: readonly string[]): Promise<void> {
  await ask(client.PUT("/v1/sites/{site}", { params: { path: { site: "sim" } }, body: { fabric: { kind: "sim", config: { socket } } } }));
  for (const endpoint of endpoints) {
    await ask(
      client.PUT("/v1/endpoints/{endpoint}", {
        params: { path: { endpoint } },
        body: { site: "sim", provider: "sim", config: { socket, endpoint } },
      }),
    );
  }
  for (const [index, image] of images.entries()) {
    const variants = [{ format: "sim" as const, digest: String(index).repeat(64), sizeBytes: 1_048_576, path: null }];
    await ask(client.PUT("/v1/images/{image}", { params: { path: { image } }, body: { recipeHash: "test", variants } }));
  }
}

async function rawRequest(url: string, adminToken: string, method: string, path: string, options: RawOptions): Promise<RawAnswer> {
  const token = options.token === undefined ? adminToken : options.token;
  const headers = {
    ...(token === null ? {} : { authorization: `Bearer ${token}` }),
    ...(options.body === undefined ? {} : { "content-type": "application/json" }),
    ...options.headers,
  };
  const body = options.body === undefined ? {} : { body: typeof options.body === "string" ? options.body : JSON.stringify(options.body) };
  const response = await fetch(`${url}${path}`, { method, headers, ...body });
  const text = await response.text();
  return { status: response.status, headers: response.headers, text, json: <T>() => JSON.parse(text) as T };
}

async function addPrincipal(sql: Sql, organizationId: string, name: string, role: string | null): Promise<string> {
  const id = randomUUID();
  const token = makeToken();
  await sql("insert into principal (id, organization_id, name, kind) values ($1, $2, $3, 'person')", [id, organizationId, name]);
  await sql("insert into token (hash, principal_id, name) values ($1, $2, 'test')", [tokenHash(token), id]);
  if (role !== null) {
    await sql("insert into role_grant (id, organization_id, principal_id, role) values ($1, $2, $3, $4)", [
      randomUUID(),
      organizationId,
      id,
      role,
    ]);
  }
  return token;
}

async function waitForOrder(client: StratiformClient, order: Schemas["Order"]): Promise<Schemas["Order"]> {
  const until = Date.now() + orderLimitMs;
  for (;;) {
    const latest = await ask(client.GET("/v1/orders/{order}", { params: { path: { order: order.id } } }));
    if (latest.state !== "running") return latest;
    if (Date.now() > until) throw new Error(`order ${order.id} (${order.summary}) has not ended in ${orderLimitMs} ms`);
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}
