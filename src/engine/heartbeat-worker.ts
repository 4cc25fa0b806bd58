/**
 * Worker thread that keeps the heartbeat row fresh over its own connection: a main thread that is busy parsing or collecting garbage for
 * seconds must not look dead, and a pool that is exhausted must not either. Plain messages: `fenced` when others declared us dead.
 */
import { parentPort, workerData } from "node:worker_threads";
import pg from "pg";
import type { HeartbeatWorkerData } from "#engine/heartbeat.ts";

const data = workerData as HeartbeatWorkerData;
const shared = new BigInt64Array(data.shared);
const { intervalMs } = data;
let client: pg.Client | undefined;
let stopped = false;

async function connection(): Promise<pg.Client> {
  if (client !== undefined) return client;
  const fresh = new pg.Client({
    connectionString: data.databaseUrl,
    connectionTimeoutMillis: intervalMs * 2,
    query_timeout: intervalMs * 2,
    application_name: "stratiform heartbeat",
  });
  fresh.on("error", () => drop(fresh));
  fresh.on("end", () => drop(fresh));
  await fresh.connect();
  client = fresh;
  return fresh;
}

function drop(lost: pg.Client): void {
  if (client === lost) client = undefined;
  lost.end().catch(() => {});
}

async function beat(): Promise<void> {
  // Life is counted from before the query was sent: the database may have answered long after it wrote.
  const sentAt = process.hrtime.bigint();
  const connected = await connection();
  const result = await connected.query({
    name: "beat",
    text: `update control_process set heartbeat_at = clock_timestamp(), expires_at = clock_timestamp() + $2 * interval '1 millisecond'
           where id = $1 and state = 'alive'`,
    values: [data.processId, data.ttlMs],
  });
  if (result.rowCount !== 1) {
    stopped = true;
    Atomics.store(shared, 0, 0n);
    parentPort?.postMessage("fenced");
    return;
  }
  if (Atomics.load(shared, 0) < sentAt) Atomics.store(shared, 1, sentAt);
  Atomics.store(shared, 0, sentAt + BigInt(Math.round(data.ttlMs * 1e6)));
}

async function loop(): Promise<void> {
  while (!stopped) {
    const started = performance.now();
    let pauseMs = intervalMs;
    try {
      await beat();
    } catch {
      // The main thread sees our life run out; there is nothing better to do here than to try again soon.
      if (client !== undefined) drop(client);
      pauseMs = intervalMs / 4;
    }
    const restMs = Math.max(0, pauseMs - (performance.now() - started));
    await new Promise((resolve) => setTimeout(resolve, restMs));
  }
  await client?.end().catch(() => {});
}

parentPort?.on("message", () => {
  stopped = true;
  client?.end().catch(() => {});
  parentPort?.close();
});
void loop();
