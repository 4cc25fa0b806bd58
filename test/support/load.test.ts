/** The instrument itself: it must see every kind of failure, and a stall in full length. */
import { setTimeout as sleep } from "node:timers/promises";
import http from "node:http";
import type { AddressInfo } from "node:net";
import { afterEach, beforeEach, expect, it } from "vitest";
import { openLoad, type LoadOptions, type LoadReport } from "./load.ts";

let server: http.Server;
let connections = 0;
let stalledUntil = 0;

beforeEach(async () => {
  connections = 0;
  stalledUntil = 0;
  server = http.createServer((request, response) => void answer(request, response));
  server.on("connection", () => (connections += 1));
  server.listen(0, "127.0.0.1");
  await new Promise((resolve) => server.once("listening", resolve));
});
afterEach(async () => {
  server.closeAllConnections();
  await new Promise((resolve) => server.close(resolve));
});

async function answer(request: http.IncomingMessage, response: http.ServerResponse): Promise<void> {
  if (stalledUntil > performance.now()) await sleep(stalledUntil - performance.now());
  response.setHeader("x-served-by", "one");
  if (request.url === "/500") response.statusCode = 500;
  if (request.url === "/reset") return void request.socket.destroy();
  if (request.url === "/never") return;
  if (request.url === "/cut") {
    response.setHeader("content-length", 100);
    response.write("page");
    return void setTimeout(() => request.socket.destroy(), 10);
  }
  response.end(request.url === "/wrong" ? "sorry" : "page");
}

async function loaded(paths: readonly string[], ms: number, more: Partial<LoadOptions> = {}): Promise<LoadReport> {
  const { port } = server.address() as AddressInfo;
  const load = openLoad({ host: "127.0.0.1", port, paths, ratePerSecond: 200, bodyHas: "page", ...more });
  await sleep(ms);
  return await load.stop();
}

it("sends at the rate it was told, half over connections that stay", async () => {
  const report = await loaded(["/"], 1_000, { connections: 4 });
  expect(report.failures).toEqual([]);
  expect(report.sent).toBe(report.ok);
  expect(Math.abs(report.sent - report.durationMs / 5)).toBeLessThanOrEqual(2);
  expect(report.servedBy).toEqual({ one: report.ok });
  const fresh = Math.floor(report.sent / 2);
  expect(connections).toBeGreaterThan(fresh);
  expect(connections).toBeLessThanOrEqual(fresh + 4);
});

it.each([
  ["/500", "status 500"],
  ["/reset", "ECONNRESET"],
  ["/cut", "answer cut off: ECONNRESET"],
  ["/wrong", "wrong body"],
  ["/never", "no answer in 300 ms"],
])("counts %s as a failure, in both halves", async (path, reason) => {
  const report = await loaded(["/", path], 300, { timeoutMs: 300, connections: 64 });
  expect(new Set(report.failures.map((failure) => failure.reason))).toEqual(new Set([reason]));
  expect(new Set(report.failures.map((failure) => failure.half))).toEqual(new Set(["kept", "new"]));
  expect(new Set(report.failures.map((failure) => failure.path))).toEqual(new Set([path]));
  expect(report.ok + report.failed).toBe(report.sent);
  expect(Math.abs(report.ok - report.failed)).toBeLessThanOrEqual(2);
});

it("counts a refused connection", async () => {
  const { port } = server.address() as AddressInfo;
  await new Promise((resolve) => server.close(resolve));
  const load = openLoad({ host: "127.0.0.1", port, paths: ["/"], ratePerSecond: 100 });
  await sleep(200);
  const report = await load.stop();
  expect(report.failed).toBe(report.sent);
  expect(report.failures[0]?.reason).toBe("ECONNREFUSED");
  server.listen(0, "127.0.0.1");
});

it("sees a stall by every request that should have come meanwhile", async () => {
  stalledUntil = performance.now() + 800;
  const report = await loaded(["/"], 1_000, { connections: 2 });
  expect(report.failures).toEqual([]);
  // 160 requests fell into the stall, evenly: half of all latencies are above about 300 ms although two connections could carry but two.
  expect(report.latencyMs.max).toBeGreaterThan(750);
  expect(report.latencyMs.p50).toBeGreaterThan(200);
});
