/**
 * Composition root: one control-plane process. Database (embedded or given), migrations, first-start set-up, policy, adapters, engine,
 * loops, API. Several processes may share one database; what only one may do runs under leadership.
 */
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { parse as parseYaml } from "yaml";
import type { ConsoleFind } from "#api/console.ts";
import { startApi } from "#api/server.ts";
import { haproxyFactory } from "#adapters/haproxy/balancer.ts";
import { simBalancerFactory } from "#adapters/sim/balancer.ts";
import type { Platform } from "#app/context.ts";
import { EndpointRegistry } from "#app/endpoint-registry.ts";
import { PolicyGate } from "#app/policy.ts";
import { removeOrphans } from "#app/reconcilers/orphan.ts";
import { purgeExpired } from "#app/reconcilers/purge.ts";
import { reconcileQuota } from "#app/reconcilers/quota.ts";
import { RepairReconciler } from "#app/reconcilers/repair.ts";
import { runWork } from "#app/run-work.ts";
import { sampleInventories } from "#app/samplers/inventory.ts";
import { HealthSampler } from "#app/samplers/health.ts";
import { describeEndpoints, MachineWatches, sampleEndpoints } from "#app/samplers/machine.ts";
import { sampleBalancers, sampleNetworks } from "#app/samplers/network.ts";
import { SecretBox } from "#app/secret-box.ts";
import { ensureAdminToken, setUp } from "#app/setup.ts";
import { parseOffering } from "#domain/blueprint.ts";
import { AppError } from "#domain/error.ts";
import type { Clock, Log } from "#domain/context.ts";
import type { EngineSettings } from "#engine/contract.ts";
import { startEngine } from "#engine/engine.ts";
import { linuxFabricFactory } from "#fabrics/linux/fabric.ts";
import { simFabricFactory } from "#fabrics/sim/fabric.ts";
import { systemClock } from "#lib/clock.ts";
import type { Engine } from "#engine/contract.ts";
import type { ProcessDefinition } from "#process/contract.ts";
import { builtInProcesses } from "#processes/built-in.ts";
import { libvirtFactory } from "#providers/libvirt/provider.ts";
import { lxdFactory } from "#providers/lxd/provider.ts";
import { simFactory } from "#providers/sim/provider.ts";
import { auditSeal } from "#store/audit.ts";
import { openDatabase, type Database } from "#store/database.ts";
import { startEmbeddedPostgres, stopEmbeddedPostgres, type EmbeddedPostgres } from "#store/embedded.ts";
import { eventSequence } from "#store/event.ts";
import { organizationIds, policyList } from "#store/installation.ts";
import { migrate } from "#store/migrate.ts";
import { migrations } from "#store/migrations/all.ts";
import { ownFile } from "#lib/own-file.ts";
import { processIdentify, processIsAlive, type ProcessIdentity } from "#lib/process-identity.ts";
import { writeFileWhole } from "#lib/write-file.ts";

/** How often each loop of the leader runs, in milliseconds. */
export const loops = {
  sequence: 100,
  watch: 1_000,
  sample: 5_000,
  describe: 30_000,
  health: 2_000,
  network: 10_000,
  inventory: 60_000,
  repair: 500,
  orphans: 30_000,
  purge: 5_000,
  quota: 60_000,
  seal: 1_000,
} as const;

export interface ControlPlaneOptions {
  /** Folder of everything this process keeps: embedded database, key, token, where it listens. Made when missing. */
  readonly home: string;
  readonly host?: string;
  /** 0: any free port. Default 7080. */
  readonly port?: number;
  /** A PostgreSQL >= 15 of your own; default: the embedded one in `home`. */
  readonly databaseUrl?: string;
  readonly log: Log;
  readonly clock?: Clock;
  readonly engine?: EngineSettings;
  /** Where the built console is; default: nowhere, and a page says so. */
  readonly findConsole?: ConsoleFind;
  /** Added to, or by the same name in place of, the built-in processes. */
  readonly processes?: readonly ProcessDefinition<unknown>[];
}

export interface ControlPlane {
  readonly url: string;
  readonly tokenFile: string;
  readonly platform: Platform;
  readonly engine: Engine;
  /** Clean stop: no new work, steps in flight settle, an embedded database that nobody else uses is stopped. */
  close(): Promise<void>;
}

export async function startControlPlane(options: ControlPlaneOptions): Promise<ControlPlane> {
  const { home, log } = options;
  const clock = options.clock ?? systemClock;
  mkdirSync(home, { recursive: true, mode: 0o711 });
  const embedded = options.databaseUrl === undefined ? await startEmbeddedPostgres({ folder: join(home, "postgres") }) : null;
  const databaseUrl = options.databaseUrl ?? embedded!.url;
  const database = openDatabase({ url: databaseUrl, log });
  await migrate(database, migrations);
  const installation = await setUp(database, clock, offeringsThatComeAlong());
  const tokenFile = await ensureAdminToken(database, installation.operatorId, home);
  const processes = new Map([...builtInProcesses, ...(options.processes ?? [])].map((process) => [process.name, process]));
  const secrets = SecretBox.fromFile(join(home, "secret.key"));
  const platform: Platform = {
    database,
    ...installation,
    policy: new PolicyGate(await policyList(database)),
    secrets,
    endpoints: new EndpointRegistry(database, secrets, [libvirtFactory, lxdFactory, simFactory], [linuxFabricFactory, simFabricFactory]),
    processes,
    balancers: new Map([haproxyFactory, simBalancerFactory].map((factory) => [factory.kind, factory])),
  };
  const engine = await startEngine({
    database,
    databaseUrl,
    home,
    log,
    clock,
    work: runWork(platform, clock),
    ...(options.engine === undefined ? {} : { settings: options.engine }),
  });
  const watches = startLoops(platform, engine);
  const whereFile = join(home, "control.json");
  const closeAllButApi = async () => {
    watches.close();
    await engine.close();
    await platform.endpoints.close();
    const last = embedded !== null && (await nobodyElse(database, engine.processId));
    await database.destroy();
    if (last) await (embedded as EmbeddedPostgres).stop();
  };
  // A process nobody can reach must not go on carrying out runs, so a port that is taken ends everything again.
  const api = await openApi(platform, options, clock).catch(async (error: unknown) => {
    await closeAllButApi();
    throw error;
  });
  // A second process of the same home leaves the first one's address where clients look.
  const isFirst = await announce(whereFile, api.url);
  log.info({ url: api.url }, "control plane is up");
  return {
    url: api.url,
    tokenFile,
    platform,
    engine,
    async close() {
      await api.close();
      await closeAllButApi();
      if (isFirst) rmSync(whereFile, { force: true });
    },
  };
}

/** Writes where this process listens unless another living one is written there. */
async function announce(whereFile: string, url: string): Promise<boolean> {
  if (existsSync(whereFile)) {
    const before = JSON.parse(readFileSync(whereFile, "utf8")) as ProcessIdentity;
    if (await processIsAlive(before)) return false;
  }
  writeFileWhole(whereFile, `${JSON.stringify({ url, ...(await processIdentify(process.pid)) })}\n`);
  return true;
}

async function openApi(platform: Platform, options: ControlPlaneOptions, clock: Clock): ReturnType<typeof startApi> {
  const host = options.host ?? "127.0.0.1";
  const port = options.port ?? 7080;
  try {
    const { log, findConsole } = options;
    return await startApi({ platform, host, port, log, clock, ...(findConsole === undefined ? {} : { findConsole }) });
  } catch (cause) {
    const { code } = cause as NodeJS.ErrnoException;
    if (code !== "EADDRINUSE" && code !== "EACCES" && code !== "EADDRNOTAVAIL") throw cause;
    throw new AppError("conflict", `${host}:${port} cannot be listened on`, {
      detail: [
        {
          constraint: code === "EADDRINUSE" ? "one process listens on a port, and another does already" : `the system says ${code}`,
          source: `--host ${host} --port ${port}`,
          nearest: "name another with --port, or 0 for any that is free",
        },
      ],
      cause,
    });
  }
}

/** Stops the embedded database of a home when it runs, for clean-up after a control plane that was killed. */
export function stopDatabase(home: string): Promise<void> {
  return stopEmbeddedPostgres(join(home, "postgres"));
}

/** Loops that exactly one process runs. Each is safe to run twice all the same. */
function startLoops(platform: Platform, engine: Engine): MachineWatches {
  const watches = new MachineWatches(platform);
  const repairs = new RepairReconciler(platform);
  const health = new HealthSampler(platform);
  const { database } = platform;
  engine.lead("event.sequence", async () => void (await eventSequence(database)), loops.sequence);
  engine.lead("machine.watch", (ctx) => watches.tick(ctx), loops.watch);
  engine.lead("machine.sample", (ctx) => sampleEndpoints(platform, ctx), loops.sample);
  engine.lead("health", (ctx) => health.round(ctx), loops.health);
  engine.lead("network.sample", (ctx) => sampleNetworks(platform, ctx), loops.network);
  engine.lead("balancer.sample", (ctx) => sampleBalancers(platform, ctx), loops.network);
  engine.lead("endpoint.describe", (ctx) => describeEndpoints(platform, ctx), loops.describe);
  engine.lead("inventory", (ctx) => sampleInventories(platform, ctx), loops.inventory);
  engine.lead("repair", (ctx) => repairs.round(ctx), loops.repair);
  engine.lead("orphans", (ctx) => removeOrphans(platform, ctx), loops.orphans);
  engine.lead("purge", (ctx) => purgeExpired(platform, ctx), loops.purge);
  engine.lead("quota", (ctx) => reconcileQuota(platform, ctx), loops.quota);
  engine.lead("audit.seal", async () => void (await sealAll(database)), loops.seal);
  return watches;
}

async function sealAll(database: Database): Promise<void> {
  for (const { id } of await organizationIds(database)) await auditSeal(database, id);
}

async function nobodyElse(database: Database, processId: string): Promise<boolean> {
  const row = await database
    .selectFrom("control_process")
    .select("id")
    .where("state", "=", "alive")
    .where("id", "!=", processId)
    .executeTakeFirst();
  return row === undefined;
}

function offeringsThatComeAlong() {
  const folder = ownFile("offerings");
  return readdirSync(folder)
    .filter((file) => file.endsWith(".yaml"))
    .sort()
    .map((file) => parseOffering(parseYaml(readFileSync(join(folder, file), "utf8"))));
}
