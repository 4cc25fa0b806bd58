import { mkdtemp, rm } from "node:fs/promises";
import { createServer } from "node:http";
import type { Server } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { unixRequest } from "#lib/unix-http.ts";

let folder: string;
let server: Server;
let socket: string;

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "unix-http-"));
  socket = join(folder, "s");
  server = createServer((request, response) => {
    if (request.url === "/slow") return;
    if (request.url === "/text") return void response.end("hello");
    void request.toArray().then((chunks) => {
      response.statusCode = 201;
      response.end(JSON.stringify({ method: request.method, got: JSON.parse(Buffer.concat(chunks as Buffer[]).toString() || "null") }));
    });
  });
  await new Promise<void>((resolve) => server.listen(socket, resolve));
});
afterEach(async () => {
  server.closeAllConnections();
  await new Promise((resolve) => server.close(resolve));
  await rm(folder, { recursive: true });
});

test("a body goes out and the answer comes back parsed", async () => {
  expect(await unixRequest({ socket, method: "PUT", path: "/", body: { a: 1 } })).toEqual({
    status: 201,
    body: { method: "PUT", got: { a: 1 } },
  });
});

test("nobody behind the socket is endpoint_unreachable", async () => {
  await expect(unixRequest({ socket: join(folder, "none"), method: "GET", path: "/" })).rejects.toMatchObject({
    code: "endpoint_unreachable",
  });
});

test("no answer in time is timeout", async () => {
  await expect(unixRequest({ socket, method: "GET", path: "/slow", timeoutMs: 100 })).rejects.toMatchObject({ code: "timeout" });
});

test("an answer that is not JSON is endpoint_refused", async () => {
  await expect(unixRequest({ socket, method: "GET", path: "/text" })).rejects.toMatchObject({ code: "endpoint_refused" });
});

test("an aborted caller gets its own reason", async () => {
  const reason = new Error("no longer interested");
  const call = unixRequest({ socket, method: "GET", path: "/slow", signal: AbortSignal.abort(reason) });
  await expect(call).rejects.toBe(reason);
});
