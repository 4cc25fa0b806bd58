import { createHash } from "node:crypto";
import { mkdtemp, rm } from "node:fs/promises";
import { createServer, type Server } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Duplex } from "node:stream";
import fc from "fast-check";
import { afterEach, describe, expect, test } from "vitest";
import { HttpClient } from "#lib/http-client.ts";
import { FrameReader, frameEncode, Websocket } from "#lib/websocket.ts";

/** A frame as a server sends it: not masked. */
function serverFrame(opcode: number, payload: Buffer | string, final = true): Buffer {
  const data = Buffer.from(payload);
  const head = data.length < 126 ? Buffer.from([0, data.length]) : Buffer.from([0, 126, data.length >> 8, data.length & 255]);
  head[0] = (final ? 0x80 : 0) | opcode;
  return Buffer.concat([head, data]);
}

function unmask(frame: Buffer): { opcode: number; payload: Buffer } {
  const short = frame[1]! & 0x7f;
  const head = short === 126 ? 4 : short === 127 ? 10 : 2;
  const mask = frame.subarray(head, head + 4);
  return { opcode: frame[0]! & 0x0f, payload: Buffer.from(frame.subarray(head + 4).map((byte, i) => byte ^ mask[i % 4]!)) };
}

describe("frames", () => {
  test("any cut of the byte stream gives the same frames", () => {
    const stream = Buffer.concat([serverFrame(2, "one"), serverFrame(1, "x".repeat(300)), serverFrame(2, "")]);
    fc.assert(
      fc.property(fc.array(fc.integer({ min: 1, max: 200 }), { maxLength: 20 }), (sizes) => {
        const reader = new FrameReader();
        const frames = [];
        let offset = 0;
        for (const size of [...sizes, stream.length]) {
          frames.push(...reader.push(stream.subarray(offset, offset + size)));
          offset += size;
        }
        expect(frames.map(({ opcode, payload }) => [opcode, payload.toString()])).toEqual([
          [2, "one"],
          [1, "x".repeat(300)],
          [2, ""],
        ]);
      }),
    );
  });

  test("what the client sends is masked and comes back by unmasking, at every length class", () => {
    for (const length of [0, 125, 126, 65_535, 65_536]) {
      const payload = Buffer.alloc(length, "ab");
      const frame = frameEncode(2, payload);
      expect(frame[1]! & 0x80).toBe(0x80);
      expect(unmask(frame).payload.equals(payload)).toBe(true);
    }
  });

  test("refuses a masked frame from the server and one that is too long", () => {
    expect(() => new FrameReader().push(frameEncode(2, Buffer.from("x")))).toThrow(/protocol/);
    const head = Buffer.alloc(10);
    head[0] = 0x82;
    head[1] = 127;
    head.writeBigUInt64BE(1n << 40n, 2);
    expect(() => new FrameReader().push(head)).toThrow(/protocol/);
  });
});

describe("a connection over a unix socket", () => {
  const cleanups: (() => Promise<void>)[] = [];
  afterEach(async () => {
    for (const cleanup of cleanups.splice(0)) await cleanup();
  });

  /** Serves one WebSocket; `serve` gets the raw socket after the handshake. */
  async function listen(serve: (socket: Duplex) => void, accept = true): Promise<string> {
    const folder = await mkdtemp(join(tmpdir(), "stratiform-ws-"));
    const socketPath = join(folder, "s");
    const sockets: Duplex[] = [];
    const server: Server = createServer((_request, response) => void response.writeHead(404).end());
    if (accept) {
      server.on("upgrade", (request, socket) => {
        sockets.push(socket);
        socket.on("error", () => {});
        const key = createHash("sha1")
          .update(`${request.headers["sec-websocket-key"]}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`)
          .digest("base64");
        socket.write(
          `HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: ${key}\r\n\r\n`,
        );
        serve(socket);
      });
    }
    await new Promise<void>((resolve) => server.listen(socketPath, resolve));
    cleanups.push(async () => {
      for (const socket of sockets) socket.destroy();
      await new Promise((resolve) => server.close(resolve));
      await rm(folder, { recursive: true });
    });
    return socketPath;
  }

  const signal = AbortSignal.timeout(20_000);
  const client = (socketPath: string) => new HttpClient({ socketPath }, { keepAlive: false });

  test("joins fragments around a ping, answers the ping, ends at the close frame", async () => {
    const answers: ReturnType<typeof unmask>[] = [];
    const socketPath = await listen((socket) => {
      socket.on("data", (chunk: Buffer) => answers.push(unmask(chunk)));
      socket.write(Buffer.concat([serverFrame(1, "ab", false), serverFrame(9, "beat"), serverFrame(0, "cd"), serverFrame(2, "bin")]));
      setTimeout(() => socket.write(serverFrame(8, Buffer.from([3, 232]))), 2_300);
    });
    const websocket = await Websocket.open(client(socketPath), "/", signal);
    const messages = [];
    for await (const { text, data } of websocket.messages()) messages.push([text, data.toString()]);
    expect(messages).toEqual([
      [true, "abcd"],
      [false, "bin"],
    ]);
    expect(answers[0]).toEqual({ opcode: 10, payload: Buffer.from("beat") });
  });

  test("a connection that breaks without goodbye is endpoint_unreachable, after what had come in", async () => {
    const socketPath = await listen((socket) => {
      socket.write(serverFrame(2, "last words"));
      setTimeout(() => socket.destroy(), 50);
    });
    const websocket = await Websocket.open(client(socketPath), "/", signal);
    const seen: string[] = [];
    const reading = (async () => {
      for await (const { data } of websocket.messages()) seen.push(data.toString());
    })();
    await expect(reading).rejects.toMatchObject({ code: "endpoint_unreachable" });
    expect(seen).toEqual(["last words"]);
  });

  test("what came before a ping and a sudden end is delivered all the same", async () => {
    const socketPath = await listen((socket) => {
      socket.end(Buffer.concat([serverFrame(9, "beat"), serverFrame(2, "one"), serverFrame(2, "two"), serverFrame(8, "")]));
    });
    const websocket = await Websocket.open(client(socketPath), "/", signal);
    await new Promise((resolve) => setTimeout(resolve, 100)); // Everything has happened before anybody reads.
    const seen: string[] = [];
    for await (const { data } of websocket.messages()) seen.push(data.toString());
    expect(seen).toEqual(["one", "two"]);
  });

  test("a reader that comes late finds everything, though the peer pinged, said more than we keep, and left", async () => {
    const part = serverFrame(2, Buffer.alloc(60_000, "z"));
    const socketPath = await listen((socket) => {
      const bytes = Buffer.concat([serverFrame(9, "beat"), ...Array.from({ length: 19 }, () => part), serverFrame(8, "")]);
      socket.end(bytes, () => socket.destroy());
    });
    const websocket = await Websocket.open(client(socketPath), "/", signal);
    await new Promise((resolve) => setTimeout(resolve, 2_300)); // The answer to the ping is due before anybody reads.
    let bytes = 0;
    for await (const { data } of websocket.messages()) bytes += data.length;
    expect(bytes).toBe(19 * 60_000);
  });

  test("a slow reader gets everything", async () => {
    const part = serverFrame(2, Buffer.alloc(60_000, "z"));
    const socketPath = await listen(
      (socket) => void socket.end(Buffer.concat([...Array.from({ length: 100 }, () => part), serverFrame(8, "")])),
    );
    const websocket = await Websocket.open(client(socketPath), "/", signal);
    let bytes = 0;
    for await (const { data } of websocket.messages()) {
      bytes += data.length;
      if (bytes % 600_000 === 0) await new Promise((resolve) => setTimeout(resolve, 5));
    }
    expect(bytes).toBe(6_000_000);
  });

  test("our own close ends the messages without an error, also when the peer says nothing", async () => {
    const socketPath = await listen(() => {});
    const websocket = await Websocket.open(client(socketPath), "/", signal);
    setTimeout(() => websocket.close(), 20);
    const messages = [];
    for await (const message of websocket.messages()) messages.push(message);
    expect(messages).toEqual([]);
    await websocket.send("after the end"); // Must not hang or throw.
  });

  test("a server that does not switch protocols, and one that is not there", async () => {
    const socketPath = await listen(() => {}, false);
    await expect(Websocket.open(client(socketPath), "/", signal)).rejects.toMatchObject({ code: "endpoint_refused" });
    const missing = client(`${socketPath}.missing`);
    await expect(Websocket.open(missing, "/", signal)).rejects.toMatchObject({ code: "endpoint_unreachable" });
    await expect(Websocket.open(missing, "/", AbortSignal.abort())).rejects.toMatchObject({ code: "cancelled" });
  });
});
