/** Endpoints and sites of others over HTTP and `strat`: added, checked, observed, listed, removed; their secrets; what is there and not ours. */
import { execFile } from "node:child_process";
import { randomBytes } from "node:crypto";
import { createServer, type Server } from "node:net";
import { once } from "node:events";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { exec } from "#lib/exec.ts";
import { sampleInventories } from "#app/samplers/inventory.ts";
import { sampleEndpoints } from "#app/samplers/machine.ts";
import { systemClock } from "#lib/clock.ts";
import { silentLog } from "#lib/log.ts";
import { ask, type Schemas } from "#sdk/client.ts";
import { startTestControlPlane, type RawAnswer, type TestControlPlane } from "../support/control-plane.ts";

let plane: TestControlPlane;
let listener: Server;
beforeAll(async () => {
  plane = await startTestControlPlane();
  await ask(plane.client.PUT("/v1/sites/{site}", { params: { path: { site: "friends" } }, body: { kind: "partner" } }));
  listener = createServer((socket) => socket.on("error", () => {}).end("hello\n")).listen(0, "127.0.0.1");
  await once(listener, "listening");
});
afterAll(async () => {
  listener.close();
  await plane.close();
});

const ctx = { log: silentLog, clock: systemClock, signal: new AbortController().signal };
const simConfig = (endpoint: string) => ({ socket: join(plane.home, "sim.sock"), endpoint });

function problem(answer: RawAnswer): Schemas["Problem"] {
  return answer.json<Schemas["Problem"]>();
}

function put(name: string, body: object): Promise<RawAnswer> {
  return plane.request("PUT", `/v1/endpoints/${name}`, { body });
}

async function observe(name: string): Promise<void> {
  const answer = await put(name, { site: "friends", provider: "sim", mode: "observe", config: simConfig(name) });
  expect(answer.status).toBe(200);
}

function strat(...args: string[]): Promise<{ code: number; stdout: string; stderr: string }> {
  const main = new URL("../../src/cli/main.ts", import.meta.url).pathname;
  const { PATH = "" } = process.env;
  return new Promise((resolve) => {
    execFile(process.execPath, [main, ...args], { env: { PATH, NO_COLOR: "1", STRATIFORM_HOME: plane.home } }, (error, stdout, stderr) =>
      resolve({ code: error === null ? 0 : Number(error.code), stdout, stderr }),
    );
  });
}

test("machines of others are listed with owner, age and their sources; ours are not", async () => {
  await plane.deploy("ours");
  await plane.sim.machinePlant("a", "beside", { user: "ann", description: "a neighbour" });
  await plane.sim.machinePlant("theirs", "old", { createdAt: "2020-01-02T03:04:05Z" });
  await observe("theirs");
  await sampleInventories(plane.platform, ctx);
  const listing = async (query: object) => (await ask(plane.client.GET("/v1/inventory", { params: { query } }))).items;
  const items = await listing({});
  expect(items.map(({ endpoint, mode, name }) => [endpoint, mode, name])).toEqual(
    expect.arrayContaining([
      ["a", "manage", "beside"],
      ["theirs", "observe", "old"],
    ]),
  );
  expect(items).toHaveLength(2);
  const [beside] = await listing({ endpoint: "a" });
  expect(beside).toMatchObject({ owner: { who: "ann", source: "user.owner" }, description: "a neighbour", power: "running" });
  expect(beside!.age).toMatchObject({ source: "first seen by us", isAtLeast: true, since: beside!.firstSeen });
  const [old] = await listing({ endpoint: "theirs" });
  expect(old).toMatchObject({ owner: null, age: { since: "2020-01-02T03:04:05Z", source: "created_at", isAtLeast: false } });
  // Page by page it is the same.
  const first = await ask(plane.client.GET("/v1/inventory", { params: { query: { limit: 1 } } }));
  const second = await ask(plane.client.GET("/v1/inventory", { params: { query: { limit: 1, after: first.next! } } }));
  expect([...first.items, ...second.items].map(({ id }) => id)).toEqual(items.map(({ id }) => id));

  await plane.sim.machineVanish("a", "beside");
  await sampleInventories(plane.platform, ctx);
  expect(await listing({ endpoint: "a" })).toEqual([]);
  const [gone] = await listing({ endpoint: "a", gone: "true" });
  expect(Date.parse(gone!.goneAt!)).toBeGreaterThan(Date.parse(gone!.lastSeen));
  expect(gone!.firstSeen).toBe(beside!.firstSeen);
  const said = await strat("inventory", "--endpoint", "theirs");
  expect(said.stdout).toMatch(/theirs +old +vm +running .* d \(by created_at\) +unknown/);
});

test("inventory is for those who run the place, and a cursor that is none is refused", async () => {
  const token = await plane.principal("tenant", "member");
  expect((await plane.request("GET", "/v1/inventory", { token })).status).toBe(403);
  expect(problem(await plane.request("GET", "/v1/inventory?after=x")).code).toBe("invalid_input");
  expect((await plane.request("GET", "/v1/inventory?endpoint=nobody")).status).toBe(404);
});

test("nothing is ordered, placed, or changed where we only observe", async () => {
  await observe("watched");
  const order = { action: "deploy", input: { offering: "tiny", name: "intruder", site: "friends" } };
  const answer = await plane.request("POST", "/v1/orders", { body: order });
  expect(answer.status).toBe(409);
  const { refusals } = problem(answer);
  expect(refusals.length).toBeGreaterThan(0);
  expect(refusals[0]!.constraint).toContain("only observed");
  expect(refusals[0]!.nearest).toContain("name another site");
  await sampleEndpoints(plane.platform, ctx);
  const [row] = await plane.sql<{ id: string }>("select id from endpoint where name = 'watched'");
  const provider = await plane.platform.endpoints.provider(row!.id);
  const ref = { name: "x", owner: { installation: "i", vapp: "v", object: "o" } };
  await expect(provider.machineRemove(ctx, ref)).rejects.toMatchObject({ code: "not_ours" });
  await expect(provider.channelRun(ctx, ref, { argv: ["/bin/true"] })).rejects.toMatchObject({ code: "not_ours" });
  expect((await plane.simDump()).endpoints["watched"]?.machines ?? []).toEqual([]);
});

test("a managed endpoint needs a site with a fabric, and a site with endpoints keeps its own", async () => {
  const refused = await put("nowhere", { site: "friends", provider: "sim", config: simConfig("nowhere") });
  expect(problem(refused)).toMatchObject({ code: "invalid_input", refusals: [{ source: "site friends has fabric none" }] });
  const site = { fabric: { kind: "none", config: {} } };
  const without = await plane.request("PUT", "/v1/sites/sim", { body: site });
  expect(problem(without).code).toBe("conflict");
  expect((await plane.request("DELETE", "/v1/sites/friends")).status).toBe(409);
});

test("an endpoint that holds machines is not removed nor turned into an observed one, and names them", async () => {
  for (const answer of [
    await plane.request("DELETE", "/v1/endpoints/a"),
    await put("a", { site: "sim", provider: "sim", mode: "observe", config: simConfig("a") }),
  ]) {
    expect(answer.status).toBe(409);
    expect(problem(answer).refusals[0]!.constraint).toContain("ours/edge-0, ours/node-0");
  }
});

test("a removed endpoint and site are forgotten, with what was seen there, and their names are free", async () => {
  await plane.request("PUT", "/v1/sites/brief", { body: {} });
  await plane.sim.machinePlant("passing", "guest");
  const body = { site: "brief", provider: "sim", mode: "observe", config: simConfig("passing") };
  expect((await put("passing", body)).status).toBe(200);
  await sampleInventories(plane.platform, ctx);
  const named = await plane.request("DELETE", "/v1/sites/brief");
  expect(problem(named).refusals[0]).toMatchObject({ nearest: "remove what is there first: strat endpoint rm passing" });
  expect((await plane.request("DELETE", "/v1/endpoints/passing")).status).toBe(204);
  expect((await plane.request("DELETE", "/v1/endpoints/passing")).status).toBe(404);
  expect((await plane.request("GET", "/v1/endpoints/passing")).status).toBe(404);
  expect((await ask(plane.client.GET("/v1/inventory"))).items.filter(({ endpoint }) => endpoint === "passing")).toEqual([]);
  expect((await strat("site", "rm", "brief")).stdout).toBe("brief: forgotten\n");
  const again = await plane.request("PUT", "/v1/sites/brief", { headers: { "if-none-match": "*" }, body: {} });
  expect([again.status, again.headers.get("etag")]).toEqual([200, '"1"']);
  expect((await plane.request("PUT", "/v1/endpoints/passing", { headers: { "if-none-match": "*" }, body })).status).toBe(200);
});

test("a check says step by step what is so, and at the first refusal how to mend it", async () => {
  await observe("looked-at");
  const check = (body: object) => ask(plane.client.POST("/v1/endpoint-checks", { body: body as Schemas["EndpointWrite"] }));
  const good = await ask(plane.client.POST("/v1/endpoints/{endpoint}/check", { params: { path: { endpoint: "looked-at" } } }));
  expect(good).toMatchObject({ endpoint: "looked-at", ok: true });
  expect(good.lines.map(({ step, outcome }) => `${step} ${outcome}`)).toEqual([
    "configuration ok",
    "address ok",
    "connection ok",
    "certificate skipped",
    "protocol ok",
    "rights ok",
    "version ok",
    "capabilities ok",
    "capacity ok",
  ]);
  const before = await plane.sql("select name from endpoint order by name");
  const refusedAt = async (provider: string, config: object) => {
    const { ok, lines } = await check({ name: "new", site: "friends", provider, mode: "observe", config });
    expect(ok).toBe(false);
    const refused = lines.filter(({ outcome }) => outcome === "refused");
    expect(refused).toHaveLength(1);
    expect(lines.slice(lines.indexOf(refused[0]!) + 1).every(({ says }) => says === `not tried: ${refused[0]!.step} was refused`)).toBe(
      true,
    );
    return refused[0]!;
  };
  expect(await refusedAt("sim", { socket: "/nowhere/sim.sock", endpoint: "a" })).toEqual({
    step: "connection",
    outcome: "refused",
    says: "/nowhere/sim.sock: there is no such socket",
    fix: "name the socket's path as it is on this machine",
  });
  expect(await refusedAt("sim", { endpoint: "Not A Name" })).toMatchObject({ step: "configuration" });
  expect(await refusedAt("vcenter", {})).toMatchObject({ step: "configuration", fix: "use one of them" });
  expect(await plane.sql("select name from endpoint order by name")).toEqual(before);
  const port = (listener.address() as { port: number }).port;
  const silent = await refusedAt("lxd", { url: `https://127.0.0.1:${port}`, pool: "p", ...(await testCertificate(plane.home)) });
  expect(silent.step).toBe("certificate");
});

test("strat checks before it adds, and adds only what passed", async () => {
  const missing = await strat("endpoint", "add", "wrong", "--site", "friends", "--provider", "sim", "--socket", "/nowhere", "--observe");
  expect(missing.code).toBe(1);
  expect(missing.stdout).toMatch(/configuration +refused/);
  expect(missing.stderr).toContain("was not added");
  expect((await plane.request("GET", "/v1/endpoints/wrong")).status).toBe(404);
  const config = JSON.stringify({ endpoint: "by-hand" });
  const args = ["endpoint", "add", "by-hand", "--site", "friends", "--provider", "sim", "--observe", "--config", config];
  const added = await strat(...args, "--socket", join(plane.home, "sim.sock"), "--json");
  expect(JSON.parse(added.stdout)).toMatchObject({ name: "by-hand", mode: "observe", state: "ready" });
  expect((await strat("endpoint", "check", "by-hand")).stdout).toMatch(/rights +ok +we may look, and shall do no more/);
  expect((await strat("endpoint", "ls")).stdout).toMatch(/by-hand +ready +observe/);
  expect((await strat("endpoint", "rm", "by-hand", "--json")).stdout).toContain("by-hand");
  for (const command of [["site", "add"], ["endpoint", "add"], ["endpoint", "check"], ["inventory"], ["image", "rm"], ["image", "build"]]) {
    expect((await strat(...command, "--help")).stdout, command.join(" ")).toContain("Example");
  }
});

test("a private key is sealed: in no table, answer, or log; the same again is no change, another one is", async () => {
  const pem = await testCertificate(plane.home);
  const config = { url: "https://127.0.0.1:9", pool: "p", ...pem };
  const body = { site: "friends", provider: "lxd", mode: "observe", config };
  const made = await put("sealed", body);
  expect(made.json()).toMatchObject({ state: "unreachable", generation: 1 });
  const answers = [made, await plane.request("GET", "/v1/endpoints/sealed"), await plane.request("POST", "/v1/endpoints/sealed/check")];
  const secret = pem.key.split("\n")[1]!;
  expect(secret.length).toBeGreaterThan(40);
  for (const { text } of answers) expect(text).not.toContain(secret);
  const tables = await plane.sql<{ name: string }>(
    "select table_name as name from information_schema.tables where table_schema = 'public'",
  );
  for (const { name } of tables) {
    expect(await plane.sql(`select 1 from "${name}" t where t::text like '%' || $1 || '%'`, [secret]), name).toEqual([]);
  }
  // The search works: what is public of it is found.
  expect(await plane.sql("select 1 from endpoint t where t::text like '%' || $1 || '%'", [pem.cert.split("\n")[1]])).toHaveLength(1);
  expect(plane.logged.join("\n")).not.toContain(secret);
  expect((await put("sealed", body)).json()).toMatchObject({ generation: 1 });
  const other = { ...body, config: { ...config, ...(await testCertificate(plane.home)) } };
  expect((await put("sealed", other)).json()).toMatchObject({ generation: 2 });
  // Sealed under a key that is lost: still shown, and mended by giving it again.
  await plane.sql("update endpoint set sealed = decode('00', 'hex') || sealed, generation = generation + 1 where name = 'sealed'");
  const damaged = (await plane.request("GET", "/v1/endpoints")).json<Schemas["EndpointList"]>();
  expect(damaged.items.find(({ name }) => name === "sealed")).toMatchObject({ machineKinds: [] });
  expect((await put("sealed", other)).json()).toMatchObject({ generation: 4, machineKinds: ["container"] });
});

test("an image in use is not removed and names its machines; one that is not goes with its copies", async () => {
  const used = await plane.request("DELETE", "/v1/images/tiny-node");
  expect(problem(used)).toMatchObject({ code: "conflict", refusals: [{ constraint: "1 machine was made from it: ours/node-0" }] });
  await sampleInventories(plane.platform, ctx);
  const shown = await ask(plane.client.GET("/v1/images/{image}", { params: { path: { image: "tiny-node" } } }));
  expect(shown).toMatchObject({ machines: 1, cachedAt: [{ endpoint: "a", format: "sim" }] });
  const order = await ask(plane.client.POST("/v1/orders", { body: { action: "purge", vapp: "ours" } }));
  expect((await plane.waitFor(order)).state).toBe("succeeded");
  expect((await strat("image", "rm", "tiny-node")).stdout).toBe("tiny-node: gone from the catalogue\n  and from a\n");
  expect((await plane.simDump()).endpoints["a"]!.images.map(({ digest }) => digest)).not.toContain("0".repeat(64));
});

async function testCertificate(folder: string): Promise<{ cert: string; key: string; ca: string }> {
  const name = join(folder, randomBytes(4).toString("hex"));
  const args = [
    "req",
    "-x509",
    "-newkey",
    "rsa:2048",
    "-nodes",
    "-subj",
    "/CN=test",
    "-days",
    "2",
    "-keyout",
    `${name}.key`,
    "-out",
    `${name}.crt`,
  ];
  await exec("openssl", args);
  const { stdout: key } = await exec("cat", [`${name}.key`]);
  const { stdout: cert } = await exec("cat", [`${name}.crt`]);
  writeFileSync(`${name}.key`, "");
  return { cert, key, ca: cert };
}
