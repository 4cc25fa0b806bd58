/**
 * A control-plane process for kill tests: starts the engine on the database given and runs what is enqueued until it is killed or told to
 * stop (stdin closes). Prints `ready` on stdout.
 *
 * argv: database URL, home, heartbeat TTL in ms. Faults come by STRATIFORM_FAULT.
 */
import { startEngine } from "#engine/engine.ts";
import { systemClock } from "#lib/clock.ts";
import { makeLog } from "#lib/log.ts";
import { openDatabase } from "#store/database.ts";
import { makeTestWork } from "./engine-work.ts";

const [databaseUrl = "", home = "", ttlMs = "3000"] = process.argv.slice(2);
const log = makeLog({ name: "engine-child", level: "warn" });
const database = openDatabase({ url: databaseUrl, log });
const engine = await startEngine({
  database,
  databaseUrl,
  home,
  log,
  clock: systemClock,
  work: makeTestWork(database),
  settings: { heartbeatTtlMs: Number(ttlMs), queuePollMs: 20, watchMs: 50 },
});
process.stdout.write("ready\n");
process.stdin.on("end", async () => {
  await engine.close();
  await database.destroy();
  process.exit(0);
});
process.stdin.resume();
