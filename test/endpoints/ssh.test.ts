/** The ways into real machines, as people use them: `strat` against a control plane, libvirt and LXD, and the system's ssh. */
import { execFile, spawn } from "node:child_process";
import { once } from "node:events";
import { readdirSync, readFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { WebSocket } from "ws";
import { buildImage } from "#agent/image-build.ts";
import { putImage } from "#app/image.ts";
import { silentLog } from "#lib/log.ts";
import { type ControlPlane, startControlPlane } from "#main.ts";
import { ask, makeClient, type StratiformClient } from "#sdk/client.ts";
import { startRealInstallation, type RealInstallation } from "../support/real-installation.ts";

const main = new URL("../../src/cli/main.ts", import.meta.url).pathname;
const vmImage = "postgres-15";

let site: RealInstallation;
let plane: ControlPlane;
let token: string;
let client: StratiformClient;

beforeAll(async () => {
  site = await startRealInstallation();
  const recipe = join(import.meta.dirname, "../../images", vmImage);
  const built = await buildImage({ recipe, cacheDir: join(tmpdir(), "stratiform-test-images"), log: silentLog });
  await putImage(site.ctx, {
    name: vmImage,
    recipeHash: built.recipeHash,
    variants: built.variants.map(({ format, digest, sizeBytes, path }) => ({ format, digest, sizeBytes, path })),
  });
  plane = await startControlPlane({ home: site.home, port: 0, databaseUrl: site.url, log: silentLog });
  token = readFileSync(plane.tokenFile, "utf8").trim();
  client = makeClient({ url: plane.url, token });
  await until(60_000, async () => (await ask(client.GET("/v1/endpoints"))).items.every(({ state }) => state === "ready"));
  await ask(client.POST("/v1/offerings", { body: reachable as never }));
  for (const [offering, name] of [
    ["reachable", "inside"],
    ["tiny", "small"],
  ] as const)
    await deploy(offering, name);
}, 600_000);
afterAll(async () => {
  await plane.close();
  await site.close();
});

const reachable = {
  offering: "reachable",
  version: "1.0.0",
  summary: "One virtual machine with sshd, on an isolated segment",
  vapp: {
    segments: { back: { isolated: true } },
    secrets: { replication: { generate: 32 }, app: { generate: 32 } },
    tiers: {
      db: {
        image: vmImage,
        size: "tiny",
        count: 1,
        kind: "vm",
        segments: ["back"],
        health: { tcp: 5432 },
        config: { role: "primary", primary: "${tier.db.0.address}", replication: "${secret.replication}", app: "${secret.app}" },
      },
    },
    storage: "none",
    access: { ssh: "owner", console: "owner" },
    security: "none",
    management: "none",
    objectives: { availability: 99 },
  },
};

async function until(limitMs: number, holds: () => Promise<boolean>): Promise<void> {
  const deadline = Date.now() + limitMs;
  while (!(await holds())) {
    if (Date.now() > deadline) throw new Error(`not in ${limitMs} ms: ${holds.toString()}`);
    await new Promise((resolve) => setTimeout(resolve, 200));
  }
}

async function deploy(offering: string, name: string): Promise<void> {
  const order = await ask(client.POST("/v1/orders", { body: { action: "deploy", input: { offering, name } } }));
  const state = async () => (await ask(client.GET("/v1/orders/{order}", { params: { path: { order: order.id } } }))).state;
  await until(180_000, async () => (await state()) !== "running");
  expect(await state()).toBe("succeeded");
}

interface Said {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

function stratEnv(env: Record<string, string> = {}) {
  return { PATH: process.env["PATH"] ?? "", NO_COLOR: "1", STRATIFORM_URL: plane.url, STRATIFORM_TOKEN: token, ...env };
}

function strat(args: readonly string[], input = "", env: Record<string, string> = {}): Promise<Said> {
  return new Promise((resolve) => {
    const child = execFile(process.execPath, [main, ...args], { env: stratEnv(env) }, (error, stdout, stderr) => {
      resolve({ code: error === null ? 0 : typeof error.code === "number" ? error.code : -1, stdout, stderr });
    });
    child.stdin?.end(input);
  });
}

test.each(["node-0", "edge-0"])("the console of %s takes a command and shows its output", { timeout: 60_000 }, async (machine) => {
  const child = spawn(process.execPath, [main, "vapp", "console", "small", machine], { env: stratEnv() });
  let [said, complained] = ["", ""];
  child.stdout.on("data", (chunk: Buffer) => (said += chunk.toString()));
  child.stderr.on("data", (chunk: Buffer) => (complained += chunk.toString()));
  // Enter wakes the shell; what is typed before it runs is lost, so the same is typed until it answers.
  await until(30_000, () => {
    if (!said.includes("42-from-console")) child.stdin.write("\necho $((6*7))-from-console\n");
    return Promise.resolve(said.includes("42-from-console"));
  });
  child.stdin.end();
  expect((await once(child, "close"))[0]).toBe(0);
  expect(complained).toBe("");
});

test("a ticket opens the console once, without the token, and only of the machine it names", { timeout: 60_000 }, async () => {
  const path = (machine: string) => `/v1/vapps/small/machines/${machine}/console`;
  const issued = await ask(
    client.POST("/v1/vapps/{vapp}/machines/{machine}/console-ticket", { params: { path: { vapp: "small", machine: "node-0" } } }),
  );
  const tried = (machine: string) =>
    new Promise<number>((resolve, reject) => {
      const socket = new WebSocket(plane.url.replace("http", "ws") + path(machine), ["stratiform", `ticket.${issued.ticket}`]);
      socket.once("open", () => {
        socket.close();
        socket.once("close", () => resolve(101));
      });
      socket.once("unexpected-response", (request, response) => {
        resolve(response.statusCode ?? 0);
        request.destroy();
      });
      socket.once("error", reject);
    });
  expect(await tried("edge-0")).toBe(401);
  expect(await tried("node-0")).toBe(101);
  expect(await tried("node-0")).toBe(401);
  expect(JSON.stringify(await site.sql("select data from audit", []))).not.toContain(issued.ticket);
});

test("a real ssh client gets in with a key made for this once, through a segment nobody else can reach", { timeout: 120_000 }, async () => {
  const before = readdirSync(tmpdir()).filter((name) => name.startsWith("strat-ssh-"));
  expect(await strat(["vapp", "ssh", "inside", "db-0", "--", "hostname; exit 7"])).toEqual({
    code: 7,
    stdout: "db-0\n",
    stderr: "",
  });
  expect((await strat(["vapp", "ssh", "inside", "db-0", "--", "cat"], "by standard input\n")).stdout).toBe("by standard input\n");
  expect(readdirSync(tmpdir()).filter((name) => name.startsWith("strat-ssh-"))).toEqual(before);
  const rows = await site.sql<{ action: string }>("select action from audit where action in ('vapp.ssh', 'vapp.tunnel') order by id", []);
  expect(rows.map(({ action }) => action)).toEqual(expect.arrayContaining(["vapp.ssh", "vapp.tunnel"]));
});

test("a port nobody listens on is said before the upgrade", async () => {
  expect(await strat(["vapp", "tunnel", "inside", "db-0", "4321"])).toMatchObject({
    code: 1,
    stdout: "",
    stderr: expect.stringContaining("4321"),
  });
});

test("an access layer without ssh refuses it and names what is left; so does a machine here without ssh", async () => {
  const refused = await strat(["vapp", "ssh", "small", "node-0"]);
  expect(refused).toMatchObject({ code: 3, stdout: "" });
  expect(refused.stderr).toContain("source    access layer of offering tiny@1.0.0");
  const noClient = await strat(["vapp", "ssh", "inside", "db-0"], "", { PATH: "/nonexistent" });
  expect(noClient).toMatchObject({ code: 1, stderr: expect.stringContaining("apt install openssh-client") });
});
