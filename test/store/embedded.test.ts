import { readFileSync } from "node:fs";
import { chown, mkdtemp, readFile, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import pg from "pg";
import { afterAll, afterEach, beforeAll, expect, test } from "vitest";
import { exec } from "#lib/exec.ts";
import { type EmbeddedOptions, type EmbeddedPostgres, startEmbeddedPostgres } from "#store/embedded.ts";
import { findPostmaster, waitUntilUnused } from "#store/embedded-process.ts";
import { startChild } from "../support/child.ts";

const isRoot = process.getuid?.() === 0;
let folder: string;

/** Most tests share a folder, since initdb takes a second; none leaves a server running in it. */
let shared: string;
beforeAll(async () => {
  shared = await mkdtemp(join(tmpdir(), "stratiform-test-embedded-"));
  folder = shared;
});
afterEach(async () => {
  await discard(folder, folder !== shared);
  folder = shared;
});
afterAll(() => discard(shared, true));

async function discard(path: string, isToBeDeleted: boolean): Promise<void> {
  const left = await findPostmaster(join(path, "data"));
  if (left !== undefined) process.kill(left.pid, "SIGKILL");
  if (left !== undefined) expect(await waitUntilUnused(join(path, "data"), 10_000)).toBe(true);
  if (isToBeDeleted) await rm(path, { recursive: true, force: true });
}

async function ownFolder(): Promise<void> {
  folder = await mkdtemp(join(tmpdir(), "stratiform-test-embedded-"));
}

function start(options: Partial<EmbeddedOptions> = {}): Promise<EmbeddedPostgres> {
  return startEmbeddedPostgres({ folder, settings: { fsync: "off" }, ...options });
}

async function query(url: string, text: string): Promise<unknown[]> {
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  try {
    return (await client.query<Record<string, unknown>>(text)).rows;
  } finally {
    await client.end();
  }
}

function uidOf(pid: number): number {
  return Number(/^Uid:\s+(\d+)/m.exec(readFileSync(`/proc/${pid}/status`, "utf8"))?.[1]);
}

test("starts, keeps data and port over a restart, and stops", async () => {
  const first = await start();
  await query(first.url, "create table kept (n int); insert into kept values (1)");
  await first.stop();
  expect(await findPostmaster(join(folder, "data"))).toBeUndefined();
  await expect(query(first.url, "select 1")).rejects.toMatchObject({ syscall: "connect" });
  const again = await start();
  expect(again.joined).toBe(false);
  expect(again.url).toBe(first.url);
  expect(await query(again.url, "select n from kept")).toEqual([{ n: 1 }]);
  await again.stop();
});

test("never runs as root, and nobody else can read password or data", async () => {
  const server = await start();
  expect(uidOf(server.pid)).not.toBe(0);
  expect((await stat(join(folder, "password"))).mode & 0o777).toBe(0o600);
  expect((await stat(join(folder, "data"))).mode & 0o077).toBe(0);
  // Password authentication on every way in, the socket included.
  const wrong = server.url.replace(/:[^:@]+@/, ":wrong@");
  await expect(query(wrong, "select 1")).rejects.toThrow(/password/);
  const bySocket = new pg.Client({
    host: server.socketDirectory,
    port: server.port,
    user: "stratiform",
    database: "stratiform",
    password: "wrong",
  });
  await expect(bySocket.connect()).rejects.toThrow(/password/);
  // It listens on loopback only.
  expect(await query(server.url, "show listen_addresses")).toEqual([{ listen_addresses: "127.0.0.1" }]);
  // No user was made on the host, and the server's private mounts are not ours.
  expect(await readFile("/etc/passwd", "utf8")).not.toContain("stratiform");
  expect(readFileSync("/proc/self/mounts", "utf8")).not.toContain("/mnt/postgres");
  await server.stop();
});

test("survives the control plane that started it, and the next one joins it", async () => {
  const child = startChild("./embedded-child.ts", [folder]);
  await child.ready;
  const started = await findPostmaster(join(folder, "data"));
  child.process.kill("SIGKILL");
  await child.exited;
  const joined = await start();
  expect(joined).toMatchObject({ joined: true, pid: started?.pid });
  expect(await query(joined.url, "select 1 as one")).toEqual([{ one: 1 }]);
  await joined.stop();
});

test("starts again after kill -9 with everything that was committed", async () => {
  const first = await start();
  await query(first.url, "create table survived (n int); insert into survived values (7)");
  process.kill(first.pid, "SIGKILL");
  const again = await start();
  expect(again.joined).toBe(false);
  expect(again.pid).not.toBe(first.pid);
  expect(await query(again.url, "select n from survived")).toEqual([{ n: 7 }]);
  await again.stop();
});

test("does not believe a postmaster.pid whose number belongs to another process", async () => {
  const first = await start();
  const file = join(folder, "data", "postmaster.pid");
  const text = await readFile(file, "utf8");
  await first.stop();
  await writeFile(file, text.replace(/^\d+/, String(process.pid)));
  const again = await start();
  expect(again.pid).not.toBe(process.pid);
  await again.stop();
});

test("takes another port when its own is taken", async () => {
  const first = await start();
  await first.stop();
  const { createServer } = await import("node:net");
  const squatter = createServer().listen(first.port, "127.0.0.1");
  await new Promise((resolve) => squatter.once("listening", resolve));
  const again = await start();
  expect(again.port).not.toBe(first.port);
  expect(await query(again.url, "select 1 as one")).toEqual([{ one: 1 }]);
  await again.stop();
  squatter.close();
});

test("two starts at the same time end with one server", async () => {
  const [one, two] = await Promise.all([start(), start()]);
  expect(one.pid).toBe(two.pid);
  await one.stop();
});

test("reports why the server did not start", async () => {
  const error = await start({ settings: { no_such_setting: "1" } }).catch((thrown: unknown) => thrown);
  expect(error).toMatchObject({ code: "unavailable" });
  expect((error as { internal: string }).internal).toContain("no_such_setting");
});

// Only root can become another user, which is what these two are about; `npm test` counts them where they are left out.
test.runIf(isRoot)("runs as an existing user where namespaces are not to be had", async () => {
  await ownFolder();
  const server = await start({ isolate: false });
  expect(uidOf(server.pid)).toBe(65_534);
  await server.stop();
});

test.runIf(isRoot)("runs as the user who starts it when that is not root", async () => {
  await ownFolder();
  const nobody = 65_534;
  await chown(folder, nobody, nobody);
  const path = new URL("../support/embedded-child.ts", import.meta.url).pathname;
  const { stdout } = await exec("setpriv", [
    "--reuid",
    String(nobody),
    "--regid",
    String(nobody),
    "--clear-groups",
    process.execPath,
    path,
    folder,
  ]);
  const started = JSON.parse(stdout.replace("ready ", "")) as { pid: number; url: string };
  expect(uidOf(started.pid)).toBe(nobody);
  expect(await query(started.url, "select 1 as one")).toEqual([{ one: 1 }]);
});
