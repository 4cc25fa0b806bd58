/** The relay as a process of its own, without a namespace: to it, a namespace is only where it was started. */
import { spawn } from "node:child_process";
import type { ChildProcess } from "node:child_process";
import { createHash, randomBytes } from "node:crypto";
import { mkdtemp, rm } from "node:fs/promises";
import { connect, createServer } from "node:net";
import type { AddressInfo, Server } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, expect, test } from "vitest";

const relayFile = fileURLToPath(new URL("./relay.ts", import.meta.url));
let folder: string;
let socket: string;
let relay: ChildProcess;
let server: Server;
let port: number;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "relay-"));
  socket = join(folder, "s");
  relay = spawn(process.execPath, [relayFile, socket], { stdio: ["pipe", "pipe", "inherit"] });
  await new Promise((resolve) => relay.stdout!.once("data", resolve));
  // Answers with the hash of what it was sent, only after the sender has said that it is finished.
  server = createServer({ allowHalfOpen: true }, (client) => {
    client.on("error", () => {});
    const hash = createHash("sha256");
    client.on("data", (chunk: Buffer) => hash.update(chunk));
    // Not the consumers of node:stream: from Node 26 on they destroy a socket whose other side has finished.
    client.on("end", () => client.end(hash.digest("hex")));
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  port = (server.address() as AddressInfo).port;
});
afterAll(async () => {
  relay.kill("SIGKILL");
  server.close();
  await rm(folder, { recursive: true });
});

test("bytes pass unchanged, and a sender that has finished still gets its answer", async () => {
  const payload = randomBytes(8 * 1024 * 1024);
  const caller = connect({ path: socket, allowHalfOpen: true });
  caller.write(`127.0.0.1 ${port}\n`);
  caller.end(payload);
  expect(await text(caller)).toBe(`ok\n${createHash("sha256").update(payload).digest("hex")}`);
});

test("a closed port is an error line with the system's code", async () => {
  const caller = connect(socket);
  caller.write("127.0.0.1 1\n");
  expect(await text(caller)).toBe("error ECONNREFUSED\n");
});

test.each(["localhost 80\n", "nonsense\n", "127.0.0.1 80 x\n"])("%j is not understood", async (line) => {
  const caller = connect(socket);
  caller.write(line);
  expect(await text(caller)).toBe("error EINVAL\n");
});

test("a caller that never ends its line is cut off", async () => {
  const caller = connect(socket);
  caller.on("error", () => {});
  caller.write("x".repeat(1_000));
  await new Promise((resolve) => caller.once("close", resolve));
});

test("the relay ends with its standard input, so it never outlives the agent", async () => {
  const ended = new Promise((resolve) => relay.once("exit", resolve));
  relay.stdin!.end();
  expect(await ended).toBe(0);
});
