/**
 * The shop as a newcomer has it, for acceptance tests: `strat demo` in a home of its own, the API with the admin's token, and what SQL, the
 * hypervisors' tools and the database servers themselves say. Images are taken from the tests' cache where it has them.
 *
 *     const shop = await startShopDemo();
 *     const order = await shop.order("scale", { tier: "web", count: 3 });
 *     await shop.ended(order.run);                    // throws with every failed step unless it succeeded
 *     await shop.stop();                              // purge; nothing is left
 */
import { execFile } from "node:child_process";
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import pg from "pg";
import type { DemoResult } from "#cli/local/demo.ts";
import { ask, makeClient, type Schemas, type StratiformClient } from "#sdk/client.ts";
import { demoLayout, type DemoLayout } from "./demo-layout.ts";

const run = promisify(execFile);
const root = new URL("../..", import.meta.url).pathname;
const testImages = join(tmpdir(), "stratiform-test-images");
const outputBytesMax = 10 * 1024 * 1024;
const pollMs = 20;

type Order = Schemas["Order"];
type Run = Schemas["Run"];
type Vapp = Schemas["Vapp"];

export interface ShopDemo {
  readonly home: string;
  readonly layout: DemoLayout;
  readonly first: DemoResult;
  /** stdout of a program, with this home as the one `strat` uses. */
  out(file: string, args: readonly string[], env?: NodeJS.ProcessEnv): Promise<string>;
  demo(...args: string[]): Promise<string>;
  strat<T>(...args: string[]): Promise<T>;
  /** Of the control plane that runs now: it may have been another one before. */
  api(): StratiformClient;
  vapp(): Promise<Vapp>;
  order(action: string, input?: Record<string, unknown>): Promise<Order>;
  run(id: string): Promise<Run>;
  ended(id: string, limitMs?: number): Promise<Run>;
  change(action: string, input?: Record<string, unknown>): Promise<Run>;
  /** A program in a machine, through the configuration channel. */
  exec(machine: string, argv: readonly string[]): Promise<Schemas["ExecResult"]>;
  /** Asked of the control plane's database itself. */
  sql<T extends pg.QueryResultRow>(text: string, values?: readonly unknown[]): Promise<T[]>;
  stop(): Promise<void>;
}

export async function startShopDemo(): Promise<ShopDemo> {
  const home = mkdtempSync(join(tmpdir(), "strat-shop-"));
  await takeImages(home);
  const env = { ...process.env, STRATIFORM_HOME: home };
  const out = async (file: string, args: readonly string[], more: NodeJS.ProcessEnv = {}) =>
    (await run(file, [...args], { cwd: root, env: { ...env, ...more }, maxBuffer: outputBytesMax })).stdout;
  const demo = (...args: string[]) => out("npm", ["run", "-s", "demo", "--", "--port", "0", "--offering", "shop", ...args]);
  const stop = async () => {
    if (existsSync(home)) await demo("--purge");
    rmSync(home, { recursive: true, force: true });
  };
  const first = await demo("--json").then(
    (text) => JSON.parse(text) as DemoResult,
    async (error: unknown) => {
      await stop();
      throw error;
    },
  );
  const api = () => {
    const { url } = JSON.parse(readFileSync(join(home, "control.json"), "utf8")) as { url: string };
    return makeClient({ url, token: readFileSync(join(home, "admin.token"), "utf8").trim() });
  };
  const path = { vapp: "shop" };
  const runOf = (id: string) => ask(api().GET("/v1/runs/{run}", { params: { path: { run: id } } }));
  const order = (action: string, input: Record<string, unknown> = {}) =>
    ask(api().POST("/v1/orders", { body: { action, vapp: "shop", input } as Schemas["OrderRequest"] }));
  const ended = async (id: string, limitMs = 300_000) => {
    const { value } = await until(limitMs, `run ${id} ends`, async () => {
      const found = await runOf(id);
      return found.finishedAt === null ? null : found;
    });
    if (value.state === "succeeded") return value;
    const failed = value.steps.filter(({ error }) => error !== null).map(({ title, error }) => `${title}: ${error!.message}`);
    throw new Error(`run ${id} of ${value.action} is ${value.state}: ${failed.join("; ")}`);
  };
  return {
    home,
    layout: demoLayout(home),
    first,
    out,
    demo,
    strat: async <T>(...args: string[]) => JSON.parse(await out("npm", ["run", "-s", "strat", "--", "--json", ...args])) as T,
    api,
    vapp: () => ask(api().GET("/v1/vapps/{vapp}", { params: { path } })),
    order,
    run: runOf,
    ended,
    change: async (action, input) => ended((await order(action, input)).run),
    exec: (machine, argv) => ask(api().POST("/v1/vapps/{vapp}/exec", { params: { path }, body: { machine, argv: [...argv] } as never })),
    sql: (text, values = []) => sql(home, text, values),
    stop,
  };
}

async function sql<T extends pg.QueryResultRow>(home: string, text: string, values: readonly unknown[]): Promise<T[]> {
  const folder = join(home, "postgres");
  const client = new pg.Client({
    host: folder,
    port: Number(readFileSync(join(folder, "port"), "utf8")),
    user: "stratiform",
    database: "stratiform",
    password: readFileSync(join(folder, "password"), "utf8").trim(),
  });
  await client.connect();
  try {
    return (await client.query<T>(text, [...values])).rows;
  } finally {
    await client.end();
  }
}

/** As links: what a recipe's hash names is never written again. */
async function takeImages(home: string): Promise<void> {
  const folder = join(home, "images");
  mkdirSync(join(home, "run"), { recursive: true });
  mkdirSync(folder);
  const names = existsSync(testImages) ? readdirSync(testImages) : [];
  for (const name of names.filter((one) => /^(base-debian|postgres-15|shop-web|haproxy)-[0-9a-f]{16}$/.test(one))) {
    await run("cp", ["-al", join(testImages, name), folder]);
  }
}

/** Asks until it is not null. */
export async function until<T>(limitMs: number, what: string, look: () => Promise<T | null>): Promise<{ value: T; tookMs: number }> {
  const started = performance.now();
  for (;;) {
    const value = await look();
    const tookMs = performance.now() - started;
    if (value !== null) return { value, tookMs };
    if (tookMs > limitMs) throw new Error(`not within ${limitMs} ms: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, pollMs));
  }
}

export interface ShopAnswer {
  readonly web: string;
  readonly database: { readonly name: string; readonly role: "primary" | "standby" };
  readonly count: number;
  readonly rows: readonly { readonly id: number; readonly name: string; readonly price: string }[];
}

/** The page as JSON; null while it is none. */
export async function shopAnswer(url: string): Promise<ShopAnswer | null> {
  try {
    const response = await fetch(url, { signal: AbortSignal.timeout(8_000), headers: { connection: "close" } });
    return response.ok ? ((await response.json()) as ShopAnswer) : null;
  } catch {
    return null;
  }
}

/** Every row there is, by name. */
export async function shopItems(url: string): Promise<Map<string, number>> {
  const items = new Map<string, number>();
  for (let after = 0; ;) {
    const { value } = await until(30_000, "the rows are listed", async () => {
      const response = await fetch(new URL(`/items?after=${after}&limit=1000`, url), { signal: AbortSignal.timeout(10_000) }).catch(
        () => null,
      );
      return response?.ok === true ? ((await response.json()) as { rows: ShopAnswer["rows"] }) : null;
    });
    for (const { id, name } of value.rows) {
      items.set(name, (items.get(name) ?? 0) + 1);
      after = id;
    }
    if (value.rows.length < 1_000) return items;
  }
}
