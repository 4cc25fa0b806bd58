/** The ways into machines, on simulated ones: who gets in, by what, and what is written about it. Real consoles and ssh: test/endpoints/ssh.test.ts. */
import { execFile, spawn } from "node:child_process";
import { once } from "node:events";
import { connect } from "node:net";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { WebSocket } from "ws";
import { apiLimits } from "#api/limits.ts";
import { ask, type Schemas } from "#sdk/client.ts";
import { startTestControlPlane, type TestControlPlane } from "../support/control-plane.ts";

let plane: TestControlPlane;
beforeAll(async () => {
  plane = await startTestControlPlane();
  for (const [offering, access] of [
    ["open", { ssh: "owner", console: "owner" }],
    ["shared", { ssh: "project", console: "project" }],
  ] as const) {
    await ask(plane.client.POST("/v1/offerings", { body: offeringOf(offering, access) as never }));
  }
  for (const offering of ["tiny", "open", "shared"]) {
    const order = await ask(plane.client.POST("/v1/orders", { body: { action: "deploy", input: { offering, name: `of-${offering}` } } }));
    expect((await plane.waitFor(order)).state).toBe("succeeded");
  }
});
afterAll(() => plane.close());

function offeringOf(offering: string, access: object) {
  return {
    offering,
    version: "1.0.0",
    summary: "One machine that can be reached",
    vapp: {
      segments: { lan: {}, back: { isolated: true } },
      tiers: {
        node: { image: "tiny-node", size: "nano", count: 1, kind: "vm", segments: ["lan", "back"], health: { http: ":80/health" } },
      },
      storage: "none",
      access,
      security: "none",
      management: "none",
      objectives: { availability: 99 },
    },
  };
}

const tunnelOf = (vapp: string, port = 80, more = "") => `/v1/vapps/${vapp}/machines/node-0/tunnel?port=${port}${more}`;
const consoleOf = (vapp: string) => `/v1/vapps/${vapp}/machines/node-0/console`;
const upgradeHeaders = {
  connection: "Upgrade",
  upgrade: "websocket",
  "sec-websocket-version": "13",
  "sec-websocket-key": Buffer.alloc(16, 1).toString("base64"),
};

interface Connecting {
  readonly token?: string | null;
  readonly headers?: Record<string, string>;
  readonly protocols?: string[];
}

/** Either the open socket or what was answered instead. */
function open(
  path: string,
  { token = plane.token, headers = {}, protocols = [] }: Connecting = {},
): Promise<WebSocket | { status: number; problem: Schemas["Problem"] }> {
  const own = token === null ? {} : { authorization: `Bearer ${token}` };
  const socket = new WebSocket(plane.url.replace("http", "ws") + path, protocols, { headers: { ...own, ...headers } });
  return new Promise((resolve, reject) => {
    socket.once("open", () => resolve(socket));
    socket.once("error", reject);
    socket.once("unexpected-response", (_request, response) => {
      let text = "";
      response.on("data", (chunk) => (text += String(chunk)));
      response.on("end", () => resolve({ status: response.statusCode ?? 0, problem: JSON.parse(text) as Schemas["Problem"] }));
    });
  });
}

async function opened(path: string, how?: Connecting): Promise<WebSocket> {
  const socket = await open(path, how);
  if (!(socket instanceof WebSocket)) throw new Error(`refused: ${JSON.stringify(socket.problem)}`);
  return socket;
}

async function refused(path: string, how?: Connecting) {
  const answer = await open(path, how);
  if (answer instanceof WebSocket) {
    answer.terminate();
    throw new Error(`${path} was opened`);
  }
  return answer;
}

async function close(socket: WebSocket): Promise<void> {
  socket.close();
  await once(socket, "close");
}

async function fetchThrough(socket: WebSocket): Promise<string> {
  let text = "";
  socket.on("message", (data: Buffer) => (text += data.toString()));
  socket.send("GET /health HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
  const [code] = (await once(socket, "close")) as [number];
  expect(code).toBe(1000);
  return text;
}

const audited = (way: string) =>
  plane.sql<{ action: string; data: Record<string, unknown>; request_id: string; decision: string }>(
    "select action, data, request_id, decision from audit where data->>'way' = $1 order by id",
    [way],
  );

describe("tunnel", () => {
  test("is a TCP connection into the machine, on its first segment or the one named", async () => {
    expect(await fetchThrough(await opened(tunnelOf("of-open")))).toContain("200 OK");
    expect(await fetchThrough(await opened(tunnelOf("of-open", 80, "&segment=lan")))).toContain("200 OK");
    expect(await refused(tunnelOf("of-open", 80, "&segment=nowhere"))).toMatchObject({
      status: 404,
      problem: { refusals: [{ nearest: "use one of its segments: back, lan" }] },
    });
    expect(await refused(tunnelOf("of-open", 0))).toMatchObject({ status: 400 });
    expect(await refused(`/v1/vapps/of-open/machines/none-9/tunnel?port=80`)).toMatchObject({
      status: 404,
      problem: { refusals: [{ nearest: "use one of: node-0" }] },
    });
  });

  test("the audit says who, where, how long and how much, and nothing of what was said", async () => {
    await fetchThrough(await opened(tunnelOf("of-open")));
    const start = (await audited("opened")).at(-1)!;
    const ends = async () => (await audited("closed")).filter(({ request_id }) => request_id === start.request_id);
    await expect.poll(async () => (await ends()).length).toBe(1);
    const end = (await ends())[0]!;
    expect(start).toMatchObject({ action: "vapp.tunnel", decision: "permit", data: { machine: "node-0", port: 80, segment: "back" } });
    expect(end).toMatchObject({
      request_id: start.request_id,
      data: { reason: "the machine closed the connection", bytesIn: 52, seconds: 0 },
    });
    expect(end.data["bytesOut"]).toBeGreaterThan(20);
    const [{ text }] = (await plane.sql<{ text: string }>("select string_agg(data::text, '') as text from audit", [])) as [
      { text: string },
    ];
    expect(text).not.toContain("Host: x");
    expect(plane.logged.join("\n")).not.toContain("Host: x");
  });

  test("access.ssh none refuses it; owner lets in who ordered it and admins; project everybody policy lets in", async () => {
    const member = await plane.principal("tunneller", "member");
    const stranger = await plane.principal("nobody-special", null);
    expect(await refused(tunnelOf("of-tiny"))).toMatchObject({
      status: 403,
      problem: {
        refusals: [
          {
            constraint: "access.ssh is none",
            source: "access layer of offering tiny@1.0.0",
            nearest: expect.stringContaining("strat vapp exec of-tiny"),
          },
        ],
      },
    });
    expect(await refused(tunnelOf("of-open"), { token: member })).toMatchObject({
      status: 403,
      problem: { refusals: [{ constraint: "access.ssh is owner" }] },
    });
    expect(await refused(tunnelOf("of-shared"), { token: stranger })).toMatchObject({
      status: 403,
      problem: { refusals: [{ constraint: expect.stringContaining("vapp.tunnel (port 80)"), source: "no policy permits it" }] },
    });
    await close(await opened(tunnelOf("of-shared"), { token: member }));
    const order = await plane.request("POST", "/v1/orders", {
      token: member,
      body: { action: "deploy", input: { offering: "open", name: "of-member" } },
    });
    expect((await plane.waitFor(order.json<Schemas["Order"]>())).state).toBe("succeeded");
    await close(await opened(tunnelOf("of-member"), { token: member }));
  });

  test("a session ends when its token is revoked", { timeout: 30_000 }, async () => {
    const leaver = await plane.principal("tunnel-leaver", "admin");
    const socket = await opened(tunnelOf("of-open"), { token: leaver });
    const closed = once(socket, "close") as Promise<[number, Buffer]>;
    await plane.sql("update token set revoked_at = now() from principal p where p.id = principal_id and p.name = 'tunnel-leaver'");
    const [code, reason] = await closed;
    expect([code, reason.toString()]).toEqual([4003, "you may not be here any more"]);
  });

  test("one principal has so many at once, and each that ends makes room", async () => {
    const token = await plane.principal("greedy", "admin");
    const sockets: WebSocket[] = [];
    for (let index = 0; index < apiLimits.socketsPerPrincipal; index += 1) sockets.push(await opened(tunnelOf("of-open"), { token }));
    expect(await refused(tunnelOf("of-open"), { token })).toMatchObject({ status: 429, problem: { code: "too_many_requests" } });
    await close(await opened(tunnelOf("of-open")));
    // Half of them say goodbye, the others are just gone.
    for (const [index, socket] of sockets.entries()) void (index % 2 === 0 ? socket.close() : socket.terminate());
    let again: Awaited<ReturnType<typeof open>> | undefined;
    await expect.poll(async () => (again = await open(tunnelOf("of-open"), { token })) instanceof WebSocket).toBe(true);
    await close(again as WebSocket);
  });

  test("clients that leave before the upgrade leave nothing behind", async () => {
    const token = await plane.principal("hasty", "admin");
    const address = new URL(plane.url);
    const lines = [`GET ${tunnelOf("of-open")} HTTP/1.1`, `Host: ${address.host}`, `Authorization: Bearer ${token}`];
    for (const [name, value] of Object.entries(upgradeHeaders)) lines.push(`${name}: ${value}`);
    for (let index = 0; index < apiLimits.socketsPerPrincipal * 3; index += 1) {
      const socket = connect(Number(address.port), address.hostname);
      socket.on("error", () => {});
      await once(socket, "connect");
      socket.write(`${lines.join("\r\n")}\r\n\r\n`);
      await new Promise((resolve) => setTimeout(resolve, index % 8));
      socket.resetAndDestroy();
    }
    const waysOf = async (way: string) =>
      (
        await plane.sql<{ request_id: string }>(
          "select request_id from audit a join principal p on p.id = a.principal_id where p.name = 'hasty' and data->>'way' = $1 order by 1",
          [way],
        )
      ).map(({ request_id }) => request_id);
    await expect.poll(async () => (await waysOf("opened")).join() === (await waysOf("closed")).join(), { timeout: 10_000 }).toBe(true);
    // Some did leave in between: without them this would have shown nothing.
    expect((await waysOf("opened")).length).toBeGreaterThan(0);
    await close(await opened(tunnelOf("of-open"), { token }));
  });
});

describe("console", () => {
  test("an endpoint that has none says so before the upgrade, and to a ticket's holder too", async () => {
    const says = {
      status: 422,
      problem: {
        code: "capability_missing",
        refusals: [{ source: "provider sim", nearest: expect.stringContaining("strat vapp exec of-open node-0") }],
      },
    };
    expect(await refused(consoleOf("of-open"))).toMatchObject(says);
    const ticket = await plane.request("POST", `${consoleOf("of-open")}-ticket`);
    expect({ status: ticket.status, problem: ticket.json() }).toMatchObject(says);
  });

  test("a page of another origin is refused, one of this server's is not", async () => {
    const { host } = new URL(plane.url);
    expect(await refused(tunnelOf("of-open"), { headers: { origin: "https://evil.example" } })).toMatchObject({
      status: 403,
      problem: { refusals: [{ source: "Origin header" }] },
    });
    expect(await refused(tunnelOf("of-open"), { headers: { origin: "null" } })).toMatchObject({ status: 403 });
    await close(await opened(tunnelOf("of-open"), { headers: { origin: `http://${host}` } }));
    await close(await opened(tunnelOf("of-open"), { headers: { origin: "https://cloud.example", "x-forwarded-host": "cloud.example" } }));
  });

  test("a stopped machine is named, with what would start it", async () => {
    const stop = await ask(plane.client.POST("/v1/orders", { body: { action: "stop", vapp: "of-shared", input: {} } }));
    await plane.waitFor(stop);
    for (const path of [consoleOf("of-shared"), tunnelOf("of-shared")]) {
      expect(await refused(path)).toMatchObject({
        status: 409,
        problem: { detail: "node-0 is stopped", refusals: [{ nearest: "start it: strat vapp start of-shared" }] },
      });
    }
  });

  test("made-up tickets are no tokens, and a token is no ticket", async () => {
    for (const word of ["x", "A".repeat(200), plane.token, "A".repeat(5_000)]) {
      expect(await refused(consoleOf("of-open"), { token: null, protocols: ["stratiform", `ticket.${word}`] })).toMatchObject({
        status: 401,
      });
    }
    expect(await refused(`${consoleOf("of-open")}?token=${plane.token}`, { token: null })).toMatchObject({ status: 401 });
  });
});

test("a route that is no WebSocket says so, and a WebSocket asked for without upgrade too", async () => {
  expect(await refused("/v1/vapps")).toMatchObject({ status: 400, problem: { detail: "there is no WebSocket here" } });
  expect(await refused("/v1/nothing-here")).toMatchObject({ status: 404 });
  expect((await plane.request("GET", tunnelOf("of-open"))).json()).toMatchObject({ status: 400, detail: "this is a WebSocket" });
  // Offers of other protocols are a courtesy that is not taken up.
  const answer = await fetchRaw([
    "GET /v1/vapps HTTP/1.1",
    "Connection: Upgrade, close",
    "Upgrade: h2c",
    `Authorization: Bearer ${plane.token}`,
  ]);
  expect(answer).toMatch(/^HTTP\/1\.1 200 /);
});

async function fetchRaw(lines: string[]): Promise<string> {
  const address = new URL(plane.url);
  const socket = connect(Number(address.port), address.hostname);
  socket.write(`${[...lines, `Host: ${address.host}`].join("\r\n")}\r\n\r\n`);
  return Buffer.concat(await socket.toArray()).toString();
}

test("ssh keys: what is no key is refused, and an image that does not know ssh names what is left", async () => {
  const path = "/v1/vapps/of-open/machines/node-0/ssh-keys";
  const publicKey = `ssh-ed25519 ${"A".repeat(68)} me`;
  for (const bad of ["", "rm -rf /", `${publicKey}\nssh-ed25519 second`, `command="x" ${publicKey}`]) {
    expect((await plane.request("POST", path, { body: { publicKey: bad } })).status).toBe(400);
  }
  expect((await plane.request("POST", path, { body: { publicKey, seconds: 301 } })).status).toBe(400);
  const answer = await plane.request("POST", path, { body: { publicKey } });
  expect(answer.json()).toMatchObject({
    status: 422,
    code: "capability_missing",
    refusals: [{ source: "image tiny-node", nearest: expect.stringContaining("strat vapp console of-open node-0") }],
  });
});

const main = new URL("../../src/cli/main.ts", import.meta.url).pathname;
const cliEnv = () => ({ PATH: process.env["PATH"] ?? "", NO_COLOR: "1", STRATIFORM_HOME: plane.home });

test("strat vapp tunnel: standard input and output are the connection; refusals read like all others", async () => {
  const child = spawn(process.execPath, [main, "vapp", "tunnel", "of-open", "node-0", "80"], { env: cliEnv(), stdio: "pipe" });
  child.stdin.end("GET /health HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
  const out = Buffer.concat(await child.stdout.toArray()).toString();
  expect(out).toContain("200 OK");
  expect(child.exitCode ?? (await once(child, "close"))[0]).toBe(0);
  const said = await new Promise<{ code: unknown; stderr: string }>((resolve) =>
    execFile(process.execPath, [main, "vapp", "tunnel", "of-tiny", "node-0", "80"], { env: cliEnv() }, (error, _stdout, stderr) =>
      resolve({ code: error?.code, stderr }),
    ),
  );
  expect(said).toMatchObject({ code: 3, stderr: expect.stringContaining("source    access layer of offering tiny@1.0.0") });
});

test("strat vapp tunnel --listen: many connections, each its own, until it is interrupted", async () => {
  const child = spawn(process.execPath, [main, "--json", "vapp", "tunnel", "of-open", "node-0", "80", "--listen", "0"], {
    env: cliEnv(),
    stdio: "pipe",
  });
  const [line] = (await once(child.stdout, "data")) as [Buffer];
  const { port } = JSON.parse(line.toString()) as { port: number };
  const answers = await Promise.all([1, 2, 3].map(() => fetch(`http://127.0.0.1:${port}/health`)));
  expect(answers.map(({ status }) => status)).toEqual([200, 200, 200]);
  child.kill("SIGINT");
  expect((await once(child, "close"))[0]).toBe(0);
});

test("strat vapp logs --follow says each line once and ends with Ctrl-C", { timeout: 30_000 }, async () => {
  const child = spawn(process.execPath, [main, "vapp", "logs", "of-open", "node-0", "--follow"], { env: cliEnv(), stdio: "pipe" });
  let out = "";
  child.stdout.on("data", (chunk: Buffer) => (out += chunk.toString()));
  await expect.poll(() => out, { timeout: 10_000 }).toContain("applied context");
  const before = out;
  const exec = { machine: "node-0", argv: ["/usr/lib/stratiform/apply"], stdin: '{"self":{}}' };
  await ask(plane.client.POST("/v1/vapps/{vapp}/exec", { params: { path: { vapp: "of-open" } }, body: exec }));
  await expect.poll(() => out.length, { timeout: 10_000 }).toBeGreaterThan(before.length);
  expect(out.slice(before.length)).toMatch(/^apply: applied context [0-9a-f]{8}\n$/);
  child.kill("SIGINT");
  expect((await once(child, "close"))[0]).toBe(0);
});
