import { mkdtempSync, rmSync } from "node:fs";
import { createServer, type Server } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import { afterAll, beforeAll, expect, test } from "vitest";
import { AppError } from "#domain/error.ts";
import { SocketHttp } from "#lib/socket-http.ts";

const folder = mkdtempSync(join(tmpdir(), "stratiform-http-"));
const socketPath = join(folder, "s.sock");
const http = new SocketHttp(socketPath);
const never = new AbortController().signal;
let server: Server;

const answers: Record<string, string> = {
  "/refuse": '{"error":{"code":"not_ours","message":"it is theirs"}}',
  "/odd": '{"error":{"code":"no_such_code","message":"x"}}',
  "/noise": "<html>",
};

beforeAll(async () => {
  server = createServer(async (request, response) => {
    const body = await text(request);
    const path = request.url ?? "";
    if (path === "/drop") return void response.destroy();
    if (path === "/hang") return;
    if (path === "/half") return void response.writeHead(200, { "content-length": 99 }).write("{", () => response.destroy());
    response.end(answers[path] ?? JSON.stringify({ result: { path, got: JSON.parse(body) as unknown } }));
  });
  server.on("upgrade", (request, socket) => {
    if (request.url !== "/echo?a=b+c&n=1") {
      const refusal = '{"error":{"code":"endpoint_unreachable","message":"nothing there"}}';
      return socket.end(`HTTP/1.1 400 Bad Request\r\nContent-Length: ${refusal.length}\r\n\r\n${refusal}`);
    }
    // The first bytes come in the same packet as the head: they must not get lost.
    socket.write("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\nfirst ");
    socket.pipe(socket);
  });
  await new Promise<void>((resolve) => server.listen(socketPath, resolve));
});

afterAll(async () => {
  http.close();
  server.closeAllConnections();
  await new Promise((resolve) => server.close(resolve));
  rmSync(folder, { recursive: true });
});

async function failure(call: Promise<unknown>): Promise<AppError> {
  const error = await call.then(
    () => null,
    (cause: unknown) => cause,
  );
  if (!(error instanceof AppError)) throw new Error(`expected an AppError, got ${String(error)}`);
  return error;
}

test("returns the result of the answer", async () => {
  expect(await http.call("/any", { a: "ä" }, never)).toEqual({ path: "/any", got: { a: "ä" } });
});

test("turns an error answer into the same AppError, and an unknown one into endpoint_refused", async () => {
  expect(await failure(http.call("/refuse", {}, never))).toMatchObject({ code: "not_ours", message: "it is theirs" });
  expect(await failure(http.call("/odd", {}, never))).toMatchObject({ code: "endpoint_refused" });
  expect(await failure(http.call("/noise", {}, never))).toMatchObject({ code: "endpoint_refused" });
});

test("a missing socket, a lost answer and half an answer are endpoint_unreachable", async () => {
  const nowhere = new SocketHttp(join(folder, "missing"));
  expect(await failure(nowhere.call("/any", {}, never))).toMatchObject({ code: "endpoint_unreachable" });
  nowhere.close();
  expect(await failure(http.call("/drop", {}, never))).toMatchObject({ code: "endpoint_unreachable" });
  expect(await failure(http.call("/half", {}, never))).toMatchObject({ code: "endpoint_unreachable" });
  expect(await http.call("/any", 1, never)).toEqual({ path: "/any", got: 1 });
});

test("an expired signal is a timeout, a withdrawn one cancelled, our own reason is kept", async () => {
  expect(await failure(http.call("/hang", {}, AbortSignal.timeout(50)))).toMatchObject({ code: "timeout" });
  expect(await failure(http.call("/hang", {}, AbortSignal.abort()))).toMatchObject({ code: "cancelled" });
  const abort = new AbortController();
  setTimeout(() => abort.abort(new AppError("unavailable", "heartbeat lost")), 20);
  expect(await failure(http.call("/hang", {}, abort.signal))).toMatchObject({ code: "unavailable" });
});

test("upgrades to a byte stream without losing a byte", async () => {
  const stream = await http.upgrade("/echo", { a: "b c", n: 1 }, never);
  stream.end("second");
  expect(await text(stream)).toBe("first second");
  expect(await failure(http.upgrade("/other", {}, never))).toMatchObject({ code: "endpoint_unreachable", message: "nothing there" });
});
