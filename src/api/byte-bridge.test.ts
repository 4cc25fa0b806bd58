/** Over real sockets: a WebSocket client on one side, a TCP server as the machine on the other. */
import { createServer, connect, type AddressInfo, type Server, type Socket } from "node:net";
import { createServer as createHttpServer } from "node:http";
import { once } from "node:events";
import { afterEach, expect, test } from "vitest";
import { WebSocket, WebSocketServer } from "ws";
import { systemClock } from "#lib/clock.ts";
import { bridge, bridgeTimes, closeCodes, frameBytesMax, type BridgeEnd, type BridgeTimes } from "#api/byte-bridge.ts";

const quick: BridgeTimes = { ...bridgeTimes, tickMs: 10, closeMs: 200 };
const cleanups: (() => void)[] = [];
afterEach(() => {
  for (const clean of cleanups.splice(0)) clean();
});

interface Scene {
  readonly url: string;
  readonly port: number;
  /** The machine's side, once the bridge stands. */
  readonly machine: Promise<Socket>;
  readonly end: Promise<BridgeEnd>;
  readonly closing: AbortController;
}

interface SceneOptions {
  readonly times?: Partial<BridgeTimes>;
  readonly mayGoOn?: () => Promise<boolean>;
  readonly halfClose?: boolean;
}

async function listening(server: Server): Promise<number> {
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return (server.address() as AddressInfo).port;
}

async function scene({ times = {}, mayGoOn = () => Promise.resolve(true), halfClose = true }: SceneOptions = {}): Promise<Scene> {
  const tcp = createServer({ allowHalfOpen: true });
  const tcpPort = await listening(tcp);
  const machine = once(tcp, "connection").then(([socket]) => {
    (socket as Socket).on("error", () => {});
    cleanups.push(() => (socket as Socket).destroy());
    return socket as Socket;
  });
  const http = createHttpServer();
  const port = await listening(http);
  const sockets = new WebSocketServer({ server: http, maxPayload: frameBytesMax });
  const closing = new AbortController();
  const end = new Promise<BridgeEnd>((resolve) => {
    sockets.once("connection", (socket) => {
      const stream = connect({ host: "127.0.0.1", port: tcpPort, allowHalfOpen: true });
      void bridge({ socket, stream, clock: systemClock, closing: closing.signal, halfClose, mayGoOn, times: { ...quick, ...times } }).then(
        resolve,
      );
    });
  });
  cleanups.push(() => {
    tcp.close();
    http.close();
    http.closeAllConnections();
    for (const client of sockets.clients) client.terminate();
  });
  return { url: `ws://127.0.0.1:${port}`, port, machine, end, closing };
}

async function open(url: string): Promise<WebSocket> {
  const socket = new WebSocket(url, { perMessageDeflate: false });
  socket.on("error", () => {});
  cleanups.push(() => socket.terminate());
  await once(socket, "open");
  return socket;
}

async function closeOf(socket: WebSocket): Promise<{ code: number; reason: string }> {
  const [code, reason] = (await once(socket, "close")) as [number, Buffer];
  return { code, reason: reason.toString() };
}

/** A client that shook hands and then neither reads nor answers: what a laptop that was closed leaves behind. */
async function silentClient(port: number): Promise<Socket> {
  const socket = connect({ host: "127.0.0.1", port });
  cleanups.push(() => socket.destroy());
  socket.on("error", () => {});
  const key = Buffer.alloc(16, 7).toString("base64");
  socket.write(
    `GET / HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: ${key}\r\n\r\n`,
  );
  await once(socket, "data");
  socket.pause();
  return socket;
}

/** The machine's side hears that the other one has gone. */
async function endOf(peer: Socket): Promise<void> {
  peer.resume();
  if (!peer.readableEnded && !peer.closed) await Promise.race([once(peer, "end"), once(peer, "close")]);
}

test("bytes go both ways, are counted, and an empty frame ends one direction alone", async () => {
  const { url, machine, end } = await scene();
  const client = await open(url);
  const peer = await machine;
  let heard = "";
  peer.on("data", (chunk: Buffer) => (heard += chunk.toString()));
  let said = "";
  client.on("message", (data: Buffer) => (said += data.toString()));
  client.send(Buffer.from("question"));
  client.send(Buffer.alloc(0));
  await once(peer, "end");
  expect(heard).toBe("question");
  peer.end("a longer answer");
  expect(await closeOf(client)).toEqual({ code: closeCodes.ended, reason: "the machine closed the connection" });
  expect(said).toBe("a longer answer");
  expect(await end).toMatchObject({ reason: "the machine closed the connection", bytesIn: 8, bytesOut: 15 });
});

test("when the client closes, so does the machine's side", async () => {
  const { url, machine, end } = await scene();
  const client = await open(url);
  const peer = await machine;
  client.close();
  await endOf(peer);
  expect(await end).toMatchObject({ reason: "the client closed" });
});

test("a machine that says much is stopped at its source while the client does not read", async () => {
  const { port, machine, end } = await scene({ times: { silentMs: 300, pingMs: 50 } });
  await silentClient(port);
  const peer = await machine;
  const chunk = Buffer.alloc(64 * 1024, "x");
  let offered = 0;
  const flood = () => {
    while (peer.writable && peer.write(chunk)) offered += chunk.length;
  };
  peer.on("drain", flood);
  flood();
  // Buffers of the kernel on both connections and ours in between, then it stands still; and the client that answers no ping is gone.
  const over = await end;
  expect(over.reason).toBe("the client did not answer");
  expect(offered).toBeLessThan(32 * 1024 * 1024);
  expect(over.bytesOut).toBeLessThan(16 * 1024 * 1024);
});

test("a client that says much is stopped while the machine does not read, and is not taken for dead meanwhile", async () => {
  const { url, machine, end } = await scene({ times: { silentMs: 200, pingMs: 50, idleMs: 1_000 } });
  const client = await open(url);
  const peer = await machine;
  peer.pause();
  const frame = Buffer.alloc(frameBytesMax, "y");
  for (let sent = 0; sent < 384; sent += 1) client.send(frame);
  const over = await end;
  expect(over.reason).toBe("nothing was said for 1 s");
  // Of twice as much.
  expect(over.bytesIn).toBeLessThan(12 * 1024 * 1024);
});

test("a frame that is too large ends the session, and the machine sees nothing of it", async () => {
  const { url, machine, end } = await scene();
  const client = await open(url);
  let heard = 0;
  (await machine).on("data", (chunk: Buffer) => (heard += chunk.length));
  const closed = closeOf(client);
  client.send(Buffer.alloc(frameBytesMax + 1));
  expect((await closed).code).toBe(closeCodes.frameTooLarge);
  expect(await end).toMatchObject({ reason: `a frame was larger than ${frameBytesMax} bytes`, bytesIn: 0 });
  expect(heard).toBe(0);
});

test.each([
  ["idle", { idleMs: 100 }, {}, closeCodes.idle],
  ["too long", { sessionMs: 100 }, {}, closeCodes.tooLong],
  ["no longer allowed", { recheckMs: 50 }, { mayGoOn: () => Promise.resolve(false) }, closeCodes.notAllowed],
  ["nobody can say", { recheckMs: 50, unknownMs: 150 }, { mayGoOn: () => Promise.reject(new Error("no database")) }, closeCodes.notAllowed],
])("%s: closed with its own code", async (_what, times, more, code) => {
  const { url, machine, end } = await scene({ times, ...more });
  const client = await open(url);
  const closed = await closeOf(client);
  expect(closed.code).toBe(code);
  expect((await end).reason).toBe(closed.reason);
  await endOf(await machine);
});

test("a quiet session that answers stays, whatever it is asked", async () => {
  const { url, machine, end } = await scene({ times: { silentMs: 150, pingMs: 30, recheckMs: 20 } });
  const client = await open(url);
  let pings = 0;
  client.on("ping", () => (pings += 1));
  await systemClock.sleep(600);
  expect(pings).toBeGreaterThan(5);
  let heard = "";
  (await machine).on("data", (chunk: Buffer) => (heard += chunk.toString()));
  client.send("still here");
  await expect.poll(() => heard).toBe("still here");
  client.close();
  await end;
});

test("a server that closes says so, and does not wait for a client that does not answer", async () => {
  const polite = await scene();
  const client = await open(polite.url);
  await polite.machine;
  const closed = closeOf(client);
  polite.closing.abort();
  expect((await closed).code).toBe(closeCodes.serverCloses);
  await polite.end;

  const rude = await scene();
  await silentClient(rude.port);
  await rude.machine;
  rude.closing.abort();
  expect(await rude.end).toMatchObject({ reason: "the server closes; connect again" });
});

test("a machine's connection that breaks is told apart from one that ends", async () => {
  const { url, machine, end } = await scene();
  const client = await open(url);
  const closed = closeOf(client);
  (await machine).resetAndDestroy();
  expect((await closed).code).toBe(closeCodes.broken);
  expect((await end).reason).toBe("the connection to the machine broke");
});
