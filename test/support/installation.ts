/**
 * One whole installation for a test: its own PostgreSQL, a simulated site as a process, the application, and (unless told otherwise)
 * an engine in this process. Orders go through the same use cases as the API's.
 *
 *     const installation = await startInstallation();
 *     const order = await installation.order("deploy", { input: { offering: "tiny", name: "shop" } });
 *     expect(await installation.waitFor(order)).toBe("succeeded");
 *     await installation.close();
 */
import { mkdirSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parse } from "yaml";
import { haproxyFactory } from "#adapters/haproxy/balancer.ts";
import { simBalancerFactory } from "#adapters/sim/balancer.ts";
import type { AppContext, Platform } from "#app/context.ts";
import { EndpointRegistry } from "#app/endpoint-registry.ts";
import { putEndpoint } from "#app/endpoint.ts";
import { putImage } from "#app/image.ts";
import { placeOrder } from "#app/order.ts";
import { makePlan } from "#app/plan.ts";
import { PolicyGate } from "#app/policy.ts";
import { runWork } from "#app/run-work.ts";
import { SecretBox } from "#app/secret-box.ts";
import { serviceActor } from "#app/session.ts";
import { setUp } from "#app/setup.ts";
import { putSite } from "#app/site.ts";
import { parseOffering } from "#domain/blueprint.ts";
import { assert } from "#domain/error.ts";
import { parseId } from "#domain/id.ts";
import type { OrderView } from "#domain/order.ts";
import type { PlanRequest, PlanView } from "#domain/plan.ts";
import type { RunOutcome } from "#domain/saga.ts";
import type { Engine, RunWork } from "#engine/contract.ts";
import { startEngine } from "#engine/engine.ts";
import { linuxFabricFactory } from "#fabrics/linux/fabric.ts";
import { simFabricFactory } from "#fabrics/sim/fabric.ts";
import { systemClock } from "#lib/clock.ts";
import { makeLog, silentLog } from "#lib/log.ts";
import { builtInProcesses } from "#processes/built-in.ts";
import type { ProcessDefinition } from "#process/contract.ts";
import { libvirtFactory } from "#providers/libvirt/provider.ts";
import { lxdFactory } from "#providers/lxd/provider.ts";
import { SimControl, type SimDump } from "#providers/sim/control.ts";
import { simFactory } from "#providers/sim/provider.ts";
import type { Database } from "#store/database.ts";
import { policyList } from "#store/installation.ts";
import { migrations } from "#store/migrations/all.ts";
import { startTestPostgres, type TestPostgres } from "./postgres.ts";
import { startSim, type RunningSim } from "./sim.ts";
import { sqlOf, type Sql } from "./sql.ts";

export type Change = Omit<PlanRequest, "action" | "input"> & { readonly input?: PlanRequest["input"] };

export interface Installation {
  readonly postgres: TestPostgres;
  readonly url: string;
  readonly home: string;
  readonly platform: Platform;
  /** As the admin of organization `operator`. */
  readonly ctx: AppContext;
  readonly engine: Engine;
  readonly sim: SimControl;
  /** SQL as text, straight to the database: what verdicts are made from. */
  readonly sql: Sql;
  simDump(): Promise<SimDump>;
  /** kill -9 of the simulated site; its world survives in its journal. */
  simKill(): Promise<void>;
  simStart(): Promise<void>;
  plan(action: string, change: Change): Promise<PlanView>;
  order(action: string, change: Change): Promise<OrderView>;
  waitFor(order: OrderView, timeoutMs?: number): Promise<RunOutcome>;
  close(): Promise<void>;
}

export interface InstallationOptions {
  /** Puts something between engine and application. */
  readonly work?: (work: RunWork, platform: Platform) => RunWork;
  /** False: control planes are other processes. Then `engine` must not be touched. */
  readonly withEngine?: boolean;
  readonly heartbeatTtlMs?: number;
  readonly processes?: readonly ProcessDefinition<unknown>[];
  /** Of the simulated site; one unless placement is of interest. */
  readonly endpoints?: readonly string[];
}

const images = ["tiny-node", "tiny-edge"];

export async function startInstallation(options: InstallationOptions = {}): Promise<Installation> {
  const home = mkdtempSync(join(tmpdir(), "stratiform-installation-"));
  mkdirSync(home, { recursive: true });
  const paths = { journal: join(home, "sim.journal"), socket: join(home, "sim.sock") };
  let site: RunningSim = await startSim(paths);
  const postgres = await startTestPostgres(migrations, (database) => registerSim(database, home, paths.socket, options.endpoints ?? ["a"]));
  const url = await postgres.createDatabase();
  const database = postgres.open(url);
  const platform = await openPlatform(database, home, options.processes);
  const ctx = await adminContext(platform);
  const engine = options.withEngine === false ? null : await engineOf(options, { database, databaseUrl: url, home, platform });
  const sim = new SimControl(paths.socket);
  return {
    postgres,
    url,
    home,
    platform,
    ctx,
    sim,
    get engine(): Engine {
      assert(engine !== null, "this installation has an engine of its own");
      return engine;
    },
    sql: sqlOf(database),
    simDump: () => sim.dump(),
    simKill: () => site.kill(),
    async simStart() {
      site = await startSim(paths);
    },
    plan: (action, change) => makePlan(ctx, { action, ...change, input: change.input ?? {} }),
    order: (action, change) => placeOrder(ctx, { action, ...change, input: change.input ?? {} }),
    waitFor: (order, timeoutMs = 60_000) => waitForOrder(database, order, timeoutMs),
    async close() {
      sim.close();
      await engine?.close();
      await platform.endpoints.close();
      await postgres.close();
      await site.stop();
      rmSync(home, { recursive: true, force: true });
    },
  };
}

function engineOf(
  options: InstallationOptions,
  { platform, ...where }: { database: Database; databaseUrl: string; home: string; platform: Platform },
): Promise<Engine> {
  const work = runWork(platform, systemClock);
  return startEngine({
    ...where,
    log: testLog(),
    clock: systemClock,
    work: options.work === undefined ? work : options.work(work, platform),
    settings: { heartbeatTtlMs: options.heartbeatTtlMs ?? 10_000, queuePollMs: 20, watchMs: 50 },
  });
}

/** Silent unless asked: a saga test makes hundreds of steps fail on purpose. */
export function testLog() {
  const level = process.env["STRATIFORM_TEST_LOG"];
  return level === undefined ? silentLog : makeLog({ name: "test", level: level as "debug" | "info" | "warn" | "error" });
}

/** The application on a database, as the composition root makes it. */
export async function openPlatform(
  database: Database,
  home: string,
  processes: readonly ProcessDefinition<unknown>[] = [],
): Promise<Platform> {
  const offerings = ["../../offerings/tiny.yaml", "./trio.yaml", "./solo.yaml"].map((file) =>
    parseOffering(parse(readFileSync(new URL(file, import.meta.url), "utf8"))),
  );
  const installation = await setUp(database, systemClock, offerings);
  const secrets = SecretBox.fromFile(join(home, "secret.key"));
  return {
    database,
    ...installation,
    policy: new PolicyGate(await policyList(database)),
    secrets,
    endpoints: new EndpointRegistry(database, secrets, [simFactory, libvirtFactory, lxdFactory], [simFabricFactory, linuxFabricFactory]),
    processes: new Map([...builtInProcesses, ...processes].map((process) => [process.name, process])),
    balancers: new Map([haproxyFactory, simBalancerFactory].map((factory) => [factory.kind, factory])),
  };
}

export async function adminContext(platform: Platform): Promise<AppContext> {
  const actor = await serviceActor(platform, platform.operatorId, "admin");
  assert(actor !== null, "the installation has its admin");
  return { platform, actor, requestId: "test", log: silentLog, clock: systemClock, signal: new AbortController().signal };
}

/** The simulated site with its endpoints, and the images of its offerings. */
async function registerSim(database: Database, home: string, socket: string, endpoints: readonly string[]): Promise<void> {
  const platform = await openPlatform(database, home);
  const ctx = await adminContext(platform);
  await putSite(ctx, { name: "sim", kind: "own", location: "here", fabric: { kind: "sim", config: { socket } } });
  for (const name of endpoints) await putEndpoint(ctx, { name, site: "sim", provider: "sim", config: { socket, endpoint: name } });
  for (const [index, name] of images.entries()) {
    const digest = String(index).repeat(64);
    await putImage(ctx, { name, recipeHash: "test", variants: [{ format: "sim", digest, sizeBytes: 1_048_576, path: null }] });
  }
  await platform.endpoints.close();
}

/** Asks the table, not an engine: the run may be carried out by any process. */
async function waitForOrder(database: Database, order: Pick<OrderView, "id" | "summary">, timeoutMs: number): Promise<RunOutcome> {
  const deadline = Date.now() + timeoutMs;
  const id = parseId("order", order.id);
  for (;;) {
    const row = await database
      .selectFrom("order")
      .select("state")
      .where("id", "=", id)
      .executeTakeFirst()
      .catch(() => undefined);
    if (row !== undefined && row.state !== "running") return row.state;
    if (Date.now() > deadline) throw new Error(`order ${order.id} (${order.summary}) has not ended in ${timeoutMs} ms`);
    await systemClock.sleep(20);
  }
}
