/**
 * A whole control-plane process for tests that kill it: the composition root itself, on the database given.
 *
 * argv: database URL, home, heartbeat TTL in ms. It loads everything, prints `loaded`, and waits for lines on stdin: `go` starts the
 * control plane and prints `ready <url>`; `arm <fault point>` makes it die there. The end of stdin closes it in good order.
 */
import { flushCompileCache } from "node:module";
import { createInterface } from "node:readline";
import { armFault } from "#engine/fault.ts";
import { makeLog } from "#lib/log.ts";
import { startControlPlane, type ControlPlane } from "../../src/main.ts";
import { processes } from "./chaos-processes.ts";

const [databaseUrl = "", home = "", ttlMs = "3000"] = process.argv.slice(2);
const level = (process.env["STRATIFORM_TEST_LOG"] ?? "error") as "error";
let controlPlane: Promise<ControlPlane> | undefined;

async function start(): Promise<ControlPlane> {
  const log = makeLog({ name: "control", level });
  const settings = { heartbeatTtlMs: Number(ttlMs), queuePollMs: 20, watchMs: 50 };
  const started = await startControlPlane({ home, databaseUrl, port: 0, log, engine: settings, processes });
  process.stdout.write(`ready ${started.url}\n`);
  return started;
}

async function obey(line: string): Promise<void> {
  const [word, ...rest] = line.split(" ");
  if (word === "arm") {
    armFault(rest.join(" "));
    process.stdout.write("armed\n");
  } else if (word === "go") {
    await (controlPlane = start());
  }
}

const lines = createInterface({ input: process.stdin });
lines.on("line", (line) => void obey(line));
lines.on("close", async () => {
  await (await controlPlane)?.close();
  process.exit(0);
});
// Usually written at the exit, which a killed process does not have. Halves the time of the next start.
flushCompileCache();
process.stdout.write("loaded\n");
