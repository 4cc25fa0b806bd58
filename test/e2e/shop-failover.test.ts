/**
 * The primary database server dies while clients write: no row that was promised is lost, and the other one takes over. Then the endpoint
 * of the primary is paused while the primary lives on: it is not proven stopped, so nobody is promoted until the endpoint answers again or a
 * person says that it is off. With `examples/processes/failover.ts`, as anyone would add it.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { afterAll, beforeAll, expect, it } from "vitest";
import { parseId } from "#domain/id.ts";
import type { Schemas } from "#sdk/client.ts";
import { qemuPid } from "../support/demo-layout.ts";
import { type RowWriter, startRowWriter } from "../support/row-writer.ts";
import { shopAnswer, type ShopDemo, shopItems, startShopDemo, until } from "../support/shop-demo.ts";

const root = new URL("../..", import.meta.url).pathname;
const writesPerSecond = 5;
const limitMs = 600_000;
let shop: ShopDemo;
let control: ChildProcess | null = null;
let writer: RowWriter | null = null;

beforeAll(async () => {
  shop = await startShopDemo();
  await controlWithFailover();
}, limitMs);
afterAll(async () => {
  await writer?.stop();
  for (const pid of libvirtPids()) process.kill(pid, "SIGCONT");
  await ended(control);
  await shop?.stop();
}, 120_000);

/** The control plane of the demo, started again with a process of one's own. */
async function controlWithFailover(): Promise<void> {
  const { pid } = JSON.parse(readFileSync(join(shop.home, "control.json"), "utf8")) as { pid: number };
  process.kill(pid, "SIGTERM");
  await until(60_000, "the demo's control plane ends", async () => (isAlive(pid) ? null : true));
  const args = ["src/cli/main.ts", "up", "--home", shop.home, "--port", "0", "--json", "--process", "examples/processes/failover.ts"];
  const child = spawn(process.execPath, args, { cwd: root, stdio: ["ignore", "pipe", "inherit"] });
  control = child;
  await new Promise<void>((resolve, reject) => {
    child.once("exit", () => reject(new Error("the control plane ended")));
    createInterface({ input: child.stdout }).once("line", () => resolve());
  });
}

async function ended(child: ChildProcess | null): Promise<void> {
  if (child === null || child.exitCode !== null || child.signalCode !== null) return;
  const exited = new Promise((resolve) => child.once("exit", resolve));
  child.kill("SIGTERM");
  await exited;
}

/** A process that waits to be reaped is no longer alive. */
function isAlive(pid: number): boolean {
  try {
    return !/^\d+ \(.*\) Z/.test(readFileSync(`/proc/${pid}/stat`, "utf8"));
  } catch {
    return false;
  }
}

function libvirtPids(): number[] {
  if (shop === undefined) return [];
  const own = join(shop.home, "agent");
  return readdirSync("/proc")
    .filter((name) => /^\d+$/.test(name))
    .filter((pid) => {
      try {
        const [program = "", ...args] = readFileSync(`/proc/${pid}/cmdline`, "utf8").split("\0");
        return program.endsWith("libvirtd") && args.some((arg) => arg.startsWith(own));
      } catch {
        return false;
      }
    })
    .map(Number);
}

interface ServerFacts {
  readonly server: string;
  readonly standby: boolean;
  readonly rows: number;
  readonly digest: string;
  readonly streaming: number;
}

const askServers = `
import json, psycopg2
settings = json.load(open("/run/shop-web/config.json"))
found = []
for server in sorted(settings["servers"]):
    try:
        connection = psycopg2.connect(host=server, dbname=settings["database"], user=settings["user"], password=settings["password"], connect_timeout=3)
        connection.autocommit = True
        cursor = connection.cursor()
        cursor.execute("select pg_is_in_recovery(), count(*), md5(string_agg(id || name || price, ',' order by id)) from item")
        standby, rows, digest = cursor.fetchone()
        cursor.execute("select count(*) from pg_stat_replication")
        found.append({"server": server, "standby": standby, "rows": rows, "digest": digest, "streaming": cursor.fetchone()[0]})
        connection.close()
    except psycopg2.OperationalError:
        pass
print(json.dumps(found))
`;

/** What the database servers say of themselves, asked over the network by a web server's machine: no hypervisor is involved. */
async function servers(): Promise<ServerFacts[]> {
  const { stdout, stderr, exitCode } = await shop.exec("web-0", ["/usr/bin/python3", "-c", askServers]);
  if (exitCode !== 0) throw new Error(`the servers cannot be asked: ${stderr}`);
  return JSON.parse(stdout) as ServerFacts[];
}

const primaries = (facts: readonly ServerFacts[]) => facts.filter(({ standby }) => !standby).map(({ server }) => server);
const machine = async (name: string) => (await shop.vapp()).machines.find((one) => one.name === name)!;

/** Both serve, the primary is this one, the other follows it, and both hold the same. */
async function inStep(primary: string): Promise<ServerFacts[]> {
  const { value } = await until(limitMs, `${primary} leads and the other follows with the same rows`, async () => {
    const facts = await servers();
    const [one, other] = facts;
    const agree = one !== undefined && other !== undefined && one.digest === other.digest && one.rows === other.rows;
    const leads = primaries(facts).join() === primary && facts.some(({ server, streaming }) => server === primary && streaming > 0);
    return agree && leads ? facts : null;
  });
  return value;
}

/** Every promised row is there exactly once. */
async function expectPromisesKept(promised: readonly string[]): Promise<void> {
  const items = await shopItems(shop.first.url);
  expect(promised.filter((name) => items.get(name) !== 1)).toEqual([]);
}

it("the primary is killed while clients write: the standby leads, and every promised row is there", { timeout: limitMs }, async () => {
  await inStep("db-0");
  writer = startRowWriter(shop.first.url, writesPerSecond);
  await until(60_000, "rows are promised", async () => (writer!.promised() >= 20 ? true : null));
  const killedMs = performance.now();
  process.kill(qemuPid((await machine("db-0")).externalName), "SIGKILL");
  const { value: writableMs } = await until(limitMs, "rows are promised again", async () => writer!.firstPromiseAfter(killedMs + 500));
  const writableSeconds = ((writableMs - killedMs) / 1_000).toFixed(1);
  expect(primaries(await servers())).toEqual(["db-1"]);
  await until(limitMs, "the old primary is repaired", async () => ((await shop.vapp()).state === "active" ? true : null));
  const report = await writer.stop();
  writer = null;
  console.info(
    `primary killed: writable again after ${writableSeconds} s; ${report.promised.length} rows promised, others ${JSON.stringify(report.others)}, longest gap ${(report.longestGapMs / 1_000).toFixed(1)} s`,
  );
  await expectPromisesKept(report.promised);
  const facts = await inStep("db-1");
  console.info(
    `old primary follows: ${facts.map(({ server, standby, rows }) => `${server} ${standby ? "standby" : "primary"} ${rows} rows`).join(", ")}`,
  );
  const { items: orders } = await orderList();
  expect(orders.filter(({ action }) => action === "repair").map(({ principal, state }) => `${principal} ${state}`)).toContain(
    "reconciler succeeded",
  );
});

async function orderList(): Promise<Schemas["OrderList"]> {
  const { data } = await shop.api().GET("/v1/orders", { params: { query: { vapp: "shop", limit: 100 } } });
  return data!;
}

/** Pauses libvirtd, orders a failover away from `from`, and returns the run once it says that it waits. */
async function orderedWhilePaused(from: string): Promise<Schemas["Run"]> {
  for (const pid of libvirtPids()) process.kill(pid, "SIGSTOP");
  const { run } = await shop.order("failover");
  const { value } = await until(120_000, "the run waits for proof", async () => {
    const found = await shop.run(run);
    if (found.finishedAt !== null) throw new Error(`the run is ${found.state}`);
    return found.steps.some(({ id, waiting }) => id === `machine.fence:${from}` && waiting !== null) ? found : null;
  });
  return value;
}

const fenceOf = (run: Schemas["Run"]) => run.steps.find(({ kind }) => kind === "machine.fence")!;

it(
  "an endpoint that does not answer proves nothing: the standby is not promoted while the primary may live",
  { timeout: limitMs },
  async () => {
    expect(libvirtPids()).toHaveLength(1);
    const run = await orderedWhilePaused("db-1");
    expect(fenceOf(run).waiting).toContain("db-1 may still run");
    expect(await shop.out("npm", ["run", "-s", "strat", "--", "run", "show", run.id])).toContain("db-1 may still run");
    const answer = await shopAnswer(shop.first.url);
    expect(answer?.database).toEqual({ name: "db-1", role: "primary" });
    writer = startRowWriter(shop.first.url, writesPerSecond);
    // Longer than two rounds of asking again.
    const untilMs = performance.now() + 40_000;
    while (performance.now() < untilMs) {
      expect(primaries(await servers())).toEqual(["db-1"]);
      await new Promise((resolve) => setTimeout(resolve, 1_000));
    }
    expect((await shop.run(run.id)).finishedAt).toBeNull();
    expect(writer.promised()).toBeGreaterThan(20);
    const resumedMs = performance.now();
    for (const pid of libvirtPids()) process.kill(pid, "SIGCONT");
    await shop.ended(run.id);
    console.info(`endpoint back: promoted ${((performance.now() - resumedMs) / 1_000).toFixed(1)} s later, with proof`);
    expect(primaries(await servers())).toEqual(["db-0"]);
    await until(limitMs, "the fenced machine is back", async () => ((await shop.vapp()).state === "active" ? true : null));
    const report = await writer.stop();
    writer = null;
    console.info(`${report.promised.length} rows promised meanwhile, others ${JSON.stringify(report.others)}`);
    await expectPromisesKept(report.promised);
    await inStep("db-0");
    expect(await proofs(run.id)).toEqual(["observed"]);
  },
);

/** What the fence went by, as it is kept for ever. */
async function proofs(run: string): Promise<unknown[]> {
  const text = "select output->>'proof' as proof from run_step where run_id = $1 and kind = 'machine.fence' and state = 'ok'";
  return (await shop.sql<{ proof: string }>(text, [parseId("run", run)])).map(({ proof }) => proof);
}

it("a person's word, on record, goes in place of the proof", { timeout: limitMs }, async () => {
  const old = await machine("db-0");
  const run = await orderedWhilePaused("db-0");
  // The person makes sure that it is off, and then says so.
  process.kill(qemuPid(old.externalName), "SIGKILL");
  const reason = "pulled its plug and looked twice";
  const decided = await shop.strat<Schemas["Run"]>("run", "decide", run.id, "--confirm", reason);
  expect(decided.id).toBe(run.id);
  for (const pid of libvirtPids()) process.kill(pid, "SIGCONT");
  await shop.ended(run.id);
  expect(fenceOf(await shop.run(run.id)).decision).toMatchObject({ decision: "confirm", principal: "admin", reason });
  expect(await proofs(run.id)).toEqual(["decision"]);
  expect(primaries(await servers())).toEqual(["db-1"]);
  await until(limitMs, "the fenced machine is back", async () => ((await shop.vapp()).state === "active" ? true : null));
  await inStep("db-1");
});
