/**
 * A web server as a member of a pool, for tests: a process of its own, so that it can die. Prints `ready`, ends with its standard input.
 * `/health` answers 200 or, after the line `sick` on standard input, 503 until `well`; everything else answers the member's name, after
 * `?ms=` milliseconds. Keeps idle connections open for as long as the other side likes.
 */
import http from "node:http";
import { createInterface } from "node:readline";

const requestMsMax = 60_000;
const [name, address, port, health = "well"] = process.argv.slice(2);
let isWell = health === "well";

const server = http.createServer((request, response) => {
  const url = new URL(request.url ?? "/", "http://member");
  response.setHeader("x-served-by", name!);
  if (url.pathname === "/health") {
    response.statusCode = isWell ? 200 : 503;
    return void response.end();
  }
  const ms = Math.min(Number(url.searchParams.get("ms") ?? 0), requestMsMax);
  setTimeout(() => response.end(`page of ${name}\n`), ms);
});
server.keepAliveTimeout = 3_600_000;
server.listen(Number(port), address, () => process.stdout.write("ready\n"));
const lines = createInterface({ input: process.stdin });
lines.on("line", (line) => {
  isWell = line === "well";
  process.stdout.write(`${line}\n`);
});
lines.once("close", () => process.exit());
