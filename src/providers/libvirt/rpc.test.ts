/** The connection against a peer that is under our control byte by byte. The real libvirtd is in test/endpoints/libvirt.test.ts. */
import { duplexPair, type Duplex } from "node:stream";
import fc from "fast-check";
import { expect, test } from "vitest";
import { isAppError } from "#domain/error.ts";
import { XdrWriter } from "#lib/xdr.ts";
import { LibvirtFailure } from "#providers/libvirt/failure.ts";
import {
  decodeHeader,
  encodeMessage,
  headerBytes,
  messageStatus,
  messageType,
  remoteProgram,
  type MessageHeader,
} from "#providers/libvirt/protocol.ts";
import { RpcConnection, type RpcCall } from "#providers/libvirt/rpc.ts";

interface Received {
  readonly header: MessageHeader;
  readonly body: Buffer;
}

interface Peer {
  readonly connection: RpcConnection;
  readonly wire: Duplex;
  /** The next message that came in. */
  next(): Promise<Received>;
  send(header: Partial<MessageHeader>, body?: Buffer): void;
}

function peer(): Peer {
  const [ours, wire] = duplexPair();
  const queue: Received[] = [];
  const waiting: ((message: Received) => void)[] = [];
  let bytes = Buffer.alloc(0);
  wire.on("data", (chunk: Buffer) => {
    bytes = Buffer.concat([bytes, chunk]);
    while (bytes.length >= headerBytes && bytes.length >= decodeHeader(bytes).lengthBytes) {
      const header = decodeHeader(bytes);
      const message = { header, body: Buffer.from(bytes.subarray(headerBytes, header.lengthBytes)) };
      bytes = bytes.subarray(header.lengthBytes);
      const waiter = waiting.shift();
      if (waiter === undefined) queue.push(message);
      else waiter(message);
    }
  });
  return {
    connection: new RpcConnection(ours),
    wire,
    next: () => new Promise((resolve) => (queue.length > 0 ? resolve(queue.shift()!) : waiting.push(resolve))),
    send: (header, body = Buffer.alloc(0)) => {
      const plain = { program: remoteProgram, procedure: 1, type: messageType.reply, serial: 0, status: messageStatus.ok };
      wire.write(encodeMessage({ ...plain, ...header }, body));
    },
  };
}

const request = (overrides: Partial<RpcCall> = {}): RpcCall => ({
  program: remoteProgram,
  procedure: 59,
  payload: Buffer.alloc(0),
  timeoutMs: 5_000,
  signal: new AbortController().signal,
  ...overrides,
});

const text = (value: string): Buffer => new XdrWriter().string(value).toBuffer();
const codeOf = (promise: Promise<unknown>) =>
  promise.then(
    () => "resolved",
    (error: unknown) => (isAppError(error) ? error.code : String(error)),
  );

test("replies are matched by serial, whatever their order", async () => {
  const { connection, next, send } = peer();
  const [first, second] = [connection.call(request()), connection.call(request())];
  const [one, two] = [await next(), await next()];
  send({ serial: two.header.serial }, text("two"));
  send({ serial: one.header.serial }, text("one"));
  expect([(await first).string(), (await second).string()]).toEqual(["one", "two"]);
});

test("messages are recognised however the transport cuts them", async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.string(), { minLength: 1, maxLength: 5 }),
      fc.array(fc.integer({ min: 1, max: 40 }), { minLength: 1 }),
      async (values, cuts) => {
        const { connection, next, wire } = peer();
        const calls = values.map(() => connection.call(request()));
        const answers: Buffer[] = [];
        for (const value of values) {
          const { header } = await next();
          answers.push(encodeMessage({ ...header, type: messageType.reply }, text(value)));
        }
        const all = Buffer.concat(answers);
        for (let at = 0, i = 0; at < all.length; i++) {
          const end = at + cuts[i % cuts.length]!;
          wire.write(all.subarray(at, end));
          at = end;
        }
        expect((await Promise.all(calls)).map((body) => body.string())).toEqual(values);
        connection.close();
      },
    ),
    { numRuns: 30 },
  );
});

test("an error reply rejects with libvirt's code and message", async () => {
  const { connection, next, send } = peer();
  const call = connection.call(request());
  const { header } = await next();
  const body = new XdrWriter().int(42).int(10).optionalString("no domain").int(2).toBuffer();
  send({ serial: header.serial, status: messageStatus.error }, body);
  const error = await call.catch((reason: unknown) => reason);
  expect(error).toBeInstanceOf(LibvirtFailure);
  expect(error).toMatchObject({ code: 42, message: "no domain" });
});

test("a call without an answer ends at its time limit, and its late answer disturbs nobody", async () => {
  const { connection, next, send } = peer();
  expect(await codeOf(connection.call(request({ timeoutMs: 20 })))).toBe("timeout");
  const late = await next();
  const call = connection.call(request());
  const { header } = await next();
  send({ serial: late.header.serial }, text("late"));
  send({ serial: header.serial }, text("in time"));
  expect((await call).string()).toBe("in time");
});

test("an abort ends a call with the signal's reason; an aborted signal sends nothing", async () => {
  const { connection, next } = peer();
  const abort = new AbortController();
  const call = connection.call(request({ signal: abort.signal }));
  await next();
  abort.abort(new Error("nobody waits"));
  await expect(call).rejects.toThrow("nobody waits");
  await expect(connection.call(request({ signal: abort.signal, procedure: 7 }))).rejects.toThrow("nobody waits");
  const probe = connection.call(request({ procedure: 8 }));
  expect((await next()).header.procedure).toBe(8);
  connection.close();
  expect(await codeOf(probe)).toBe("endpoint_unreachable");
});

test("a lost connection fails calls, streams and senders, and stays lost", async () => {
  const { connection, next, send, wire } = peer();
  const ended = Promise.withResolvers<Error | null>();
  const opening = connection.openStream(request({ procedure: 201 }), { onData() {}, onEnd: ended.resolve });
  send({ serial: (await next()).header.serial });
  const stream = await opening;
  const call = connection.call(request());
  wire.destroy();
  expect(await codeOf(call)).toBe("endpoint_unreachable");
  expect(isAppError(await ended.promise, "endpoint_unreachable")).toBe(true);
  expect(await codeOf(stream.send(Buffer.alloc(4)))).toBe("endpoint_unreachable");
  expect(await codeOf(connection.call(request()))).toBe("endpoint_unreachable");
  expect(connection.usable).toBe(false);
});

test("nonsense from the peer ends the connection instead of waiting for 4 GiB", async () => {
  for (const bytes of [Buffer.alloc(headerBytes, 0xff), Buffer.alloc(headerBytes)]) {
    const { connection, wire } = peer();
    const call = connection.call(request());
    wire.write(bytes);
    expect(await codeOf(call)).toBe("endpoint_unreachable");
  }
});

test("stream data goes to its listener until the peer ends it", async () => {
  const { connection, next, send } = peer();
  const seen: string[] = [];
  const ended = Promise.withResolvers<Error | null>();
  const opening = connection.openStream(request({ procedure: 201 }), {
    onData: (chunk) => seen.push(chunk.toString()),
    onEnd: ended.resolve,
  });
  const { serial } = (await next()).header;
  send({ serial });
  send({ serial, type: messageType.stream, status: messageStatus.continue }, Buffer.from("ab"));
  const stream = await opening;
  send({ serial: serial + 7, type: messageType.stream, status: messageStatus.continue }, Buffer.from("of somebody else"));
  send({ serial, type: messageType.stream, status: messageStatus.continue }, Buffer.from("cd"));
  await stream.send(Buffer.from("up"));
  const up = await next();
  expect([up.header.type, up.header.serial, up.body.toString()]).toEqual([messageType.stream, serial, "up"]);
  send({ serial, type: messageType.stream, status: messageStatus.ok });
  expect(await ended.promise).toBeNull();
  expect(seen).toEqual(["ab", "cd"]);
});

test("a sender waits while the peer does not read", async () => {
  const { connection, next, send, wire } = peer();
  const opening = connection.openStream(request({ procedure: 208 }), { onData() {}, onEnd() {} });
  send({ serial: (await next()).header.serial });
  const stream = await opening;
  wire.pause();
  let sent = 0;
  const sending = (async () => {
    for (let i = 0; i < 64; i++) {
      await stream.send(Buffer.alloc(64 * 1024));
      sent++;
    }
  })();
  await new Promise((resolve) => setTimeout(resolve, 50));
  expect(sent).toBeLessThan(64);
  wire.resume();
  await sending;
  expect(sent).toBe(64);
});
