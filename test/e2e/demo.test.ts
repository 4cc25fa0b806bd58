/**
 * What a newcomer does, judged from outside: `npm run demo`, the page, the hypervisors' own tools and SQL against `strat vapp show`, a VM
 * killed behind our back, no secret anywhere it does not belong, down, up again, purge, and nothing left. One story, in order.
 */
import { execFile } from "node:child_process";
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import pg from "pg";
import { afterAll, beforeAll, expect, it } from "vitest";
import type { DemoResult } from "#cli/local/demo.ts";
import type { VappView } from "#domain/vapp.ts";
import { demoLayout, filesWith, qemuPid, type DemoLayout } from "../support/demo-layout.ts";
import { worldDifference, worldSnapshot, type World } from "../support/world.ts";

const run = promisify(execFile);
const root = new URL("../..", import.meta.url).pathname;
const home = mkdtempSync(join(tmpdir(), "strat-e2e-"));
const env = { ...process.env, STRATIFORM_HOME: home };
let before: World;
let site: DemoLayout;

/** stdout of a program; 10 MiB are enough for everything asked here. */
async function out(file: string, args: readonly string[], more: NodeJS.ProcessEnv = {}): Promise<string> {
  const { stdout } = await run(file, [...args], { cwd: root, env: { ...env, ...more }, maxBuffer: 10 * 1024 * 1024 });
  return stdout;
}
const demo = (...args: string[]) => out("npm", ["run", "-s", "demo", "--", "--port", "0", "--offering", "tiny", ...args]);
const strat = async <T>(...args: string[]) => JSON.parse(await out("npm", ["run", "-s", "strat", "--", "--json", ...args])) as T;
const machineOf = (vapp: VappView, name: string) => vapp.machines.find((machine) => machine.name === name)!;

async function sql<T extends pg.QueryResultRow>(text: string): Promise<T[]> {
  const client = new pg.Client({
    host: join(home, "postgres"),
    port: Number(readFileSync(join(home, "postgres", "port"), "utf8")),
    user: "stratiform",
    database: "stratiform",
    password: readFileSync(join(home, "postgres", "password"), "utf8").trim(),
  });
  await client.connect();
  try {
    return (await client.query<T>(text)).rows;
  } finally {
    await client.end();
  }
}

/** The API directly: a CLI start would be most of a second. */
async function showVapp(): Promise<VappView> {
  const { url } = JSON.parse(readFileSync(join(home, "control.json"), "utf8")) as { url: string };
  const token = readFileSync(join(home, "admin.token"), "utf8").trim();
  const response = await fetch(`${url}/v1/vapps/tiny`, { headers: { authorization: `Bearer ${token}` } });
  expect(response.status).toBe(200);
  return (await response.json()) as VappView;
}

async function until<T>(limitMs: number, ask: () => Promise<T | null>): Promise<{ value: T; tookMs: number }> {
  const started = performance.now();
  for (;;) {
    const value = await ask();
    const tookMs = performance.now() - started;
    if (value !== null) return { value, tookMs };
    if (tookMs > limitMs) throw new Error(`not within ${limitMs} ms`);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

beforeAll(() => {
  before = worldSnapshot();
  site = demoLayout(home);
});
afterAll(async () => {
  if (existsSync(home)) await demo("--purge").catch(() => {});
  rmSync(home, { recursive: true, force: true });
});

let first: DemoResult;

it("from nothing to a page: the container answers with what it got from the VM by name", { timeout: 300_000 }, async () => {
  first = JSON.parse(await demo("--json")) as DemoResult;
  expect(first.machines.map(({ name, kind, endpoint }) => [name, kind, endpoint])).toEqual([
    ["edge-0", "container", "lxd-local"],
    ["node-0", "vm", "libvirt-local"],
  ]);
  for (const machine of first.machines) {
    expect(machine.reason).toMatch(/\S/);
    expect(machine.address).toMatch(/^\d+\.\d+\.\d+\.\d+$/);
  }
  expect(Number(first.costPerHour)).toBeGreaterThan(0);
  const page = await (await fetch(first.url)).text();
  expect(page).toContain("edge-0 says: page of node-0");
  console.info(`demo phases: ${first.phases.map(({ name, seconds }) => `${name} ${seconds} s`).join(", ")}`);
});

it("virsh, lxc and SQL agree with `strat vapp show`", async () => {
  const vapp = await strat<VappView>("vapp", "show", "tiny");
  const [node, edge] = [machineOf(vapp, "node-0"), machineOf(vapp, "edge-0")];
  const virsh = (...args: string[]) => out("virsh", ["-q", "-c", `qemu+unix:///system?socket=${site.libvirtSocket}`, ...args]);
  expect((await virsh("list", "--name")).trim()).toBe(node.externalName);
  const info = await virsh("dominfo", node.externalName);
  expect(info).toMatch(/State:\s+running/);
  expect(info).toMatch(new RegExp(`CPU\\(s\\):\\s+${node.vcpus}\\n`));
  expect(info).toContain(`${node.memoryMiB * 1024} KiB`);
  expect(await virsh("domiflist", node.externalName)).toContain(node.addresses[0]!.mac);

  const containers = JSON.parse(await out("lxc", ["list", "--format", "json"], { LXD_DIR: site.lxdFolder })) as {
    name: string;
    status: string;
    config: Record<string, string>;
    devices: Record<string, Record<string, string>>;
  }[];
  expect(containers.map(({ name, status }) => [name, status])).toEqual([[edge.externalName, "Running"]]);
  expect(containers[0]!.config["limits.memory"]).toContain(String(edge.memoryMiB));
  expect(JSON.stringify(containers[0]!.devices)).toContain(edge.addresses[0]!.mac);

  const rows = await sql<{ external_name: string; state: string; address: string; kind: string }>(
    `select m.external_name, m.state, m.kind, host(a.address) as address from machine m join address a on a.machine_id = m.id where m.released_at is null order by m.name`,
  );
  expect(rows).toEqual(
    [edge, node].map(({ externalName, state, kind, addresses }) => ({
      external_name: externalName,
      state,
      kind,
      address: addresses[0]!.address,
    })),
  );
  for (const machine of vapp.machines) {
    const power = machine.facts.find(({ name }) => name === "power")!;
    expect(power.value).toBe("running");
    expect(power.source).toMatch(/^(libvirt|lxd):/);
    expect(Date.now() - Date.parse(power.observedAt)).toBeLessThan(60_000);
  }
});

it("no secret is where it does not belong: database, logs, seeds, endpoints' own files, events", async () => {
  const result = await strat<{ exitCode: number; stdout: string }>(
    "vapp",
    "exec",
    "tiny",
    "node-0",
    "--",
    "/bin/busybox",
    "cat",
    "/run/stratiform/context.json",
  );
  const token = (JSON.parse(result.stdout) as { config: { token: string } }).config.token;
  expect(token).toMatch(/^[A-Za-z0-9_-]{43}$/);
  // The guests' own memory and tmpfs are the one place it belongs to.
  expect(filesWith(home, token)).toEqual([]);
  expect(await out("npm", ["run", "-s", "strat", "--", "events", "--limit", "500", "--json"])).not.toContain(token);
  expect(await out("npm", ["run", "-s", "strat", "--", "audit", "--limit", "500", "--json"])).not.toContain(token);
  // The search can find: the admin's token is in its file, and only there.
  expect(filesWith(home, readFileSync(join(home, "admin.token"), "utf8").trim())).toEqual([join(home, "admin.token")]);
});

it("a VM killed behind our back shows within a second and is repaired by an order of the reconciler", { timeout: 180_000 }, async () => {
  const node = machineOf(await showVapp(), "node-0");
  process.kill(qemuPid(node.externalName), "SIGKILL");
  const noticed = await until(30_000, async () => {
    const machine = machineOf(await showVapp(), "node-0");
    return machine.state === "running" ? null : machine;
  });
  console.info(`noticed after ${Math.round(noticed.tookMs)} ms as ${noticed.value.state}`);
  expect(noticed.tookMs).toBeLessThan(1_000);
  const repaired = await until(150_000, async () => {
    const vapp = await showVapp();
    return vapp.state === "active" && machineOf(vapp, "node-0").state === "running" ? vapp : null;
  });
  console.info(`repaired after ${Math.round(repaired.tookMs / 100) / 10} s`);
  expect(await (await fetch(first.url)).text()).toContain("page of node-0");
  const orders = await strat<{ principal: string; action: string; state: string }[]>("order", "ls", "--vapp", "tiny");
  expect(orders[0]).toMatchObject({ principal: "reconciler", action: "repair", state: "succeeded" });
});

it("the bill charges what ran", async () => {
  const bill = await strat<{ total: string; lines: { name: string; meter: string; amount: string }[] }>("bill", "tiny");
  expect(Number(bill.total)).toBeGreaterThan(0);
  expect(new Set(bill.lines.map(({ name }) => name))).toEqual(new Set(["tiny/node-0", "tiny/edge-0", "tiny/edge-0-80"]));
});

it("--down deletes the vApp and stops everything, lists what is kept, and the next start is warm", { timeout: 240_000 }, async () => {
  const { kept } = JSON.parse(await demo("--down", "--json")) as { kept: { path: string; bytes: number }[] };
  expect(kept.map(({ path }) => path)).toEqual(expect.arrayContaining([join(home, "postgres"), join(home, "images")]));
  await expect(fetch(first.url)).rejects.toThrow("fetch failed");
  expect(readdirSync(join(home, "run"))).toEqual([]);
  const again = JSON.parse(await demo("--json")) as DemoResult;
  console.info(`warm demo phases: ${again.phases.map(({ name, seconds }) => `${name} ${seconds} s`).join(", ")}`);
  expect(await (await fetch(again.url)).text()).toContain("page of node-0");
  const rows = await sql<{ state: string; n: number }>("select state, count(*)::int as n from vapp group by state order by state");
  expect(rows).toEqual([
    { state: "active", n: 1 },
    { state: "deleted", n: 1 },
  ]);
});

it("--purge leaves nothing, inside and outside our namespaces", { timeout: 120_000 }, async () => {
  await demo("--purge");
  expect(existsSync(home)).toBe(false);
  // Lines that name this installation; the whole host is compared by `npm run nothing-left`, when nothing else runs on it.
  const left = () =>
    worldDifference(before, worldSnapshot()).filter(
      (line) => line.includes(home) || line.includes(site.namespace) || line.includes(site.uplinkInterface),
    );
  await until(15_000, async () => (left().length === 0 ? true : null)).catch(() => {});
  expect(left()).toEqual([]);
});
