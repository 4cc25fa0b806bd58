/** DBOS as we configure it: its own pool, our log, pinned version, one queue. */
import { DBOS } from "@dbos-inc/dbos-sdk";
import pg from "pg";
import type { Log } from "#domain/context.ts";
import type { EngineOptions } from "#engine/contract.ts";
import { engineProtocol, queueName } from "#engine/protocol.ts";
import { guardPool } from "#store/database.ts";

const poolSize = 10;
const connectTimeoutMs = 5_000;
const idleTransactionMs = 60_000;

export interface DbosLaunch {
  readonly processId: string;
  readonly runConcurrency: number;
  readonly queuePollMs: number;
}

/**
 * Launches DBOS and returns how to shut it down. Its pool is not ours: our transactions hold a connection while DBOS checks who owns the
 * workflow, and in one pool they would wait for each other.
 */
export async function launchDbos(options: EngineOptions, launch: DbosLaunch): Promise<{ shutdown(): Promise<void> }> {
  const pool = new pg.Pool({
    connectionString: options.databaseUrl,
    max: poolSize,
    connectionTimeoutMillis: connectTimeoutMs,
    application_name: "stratiform dbos",
    options: `-c idle_in_transaction_session_timeout=${idleTransactionMs}`,
  });
  guardPool(pool, options.log);
  DBOS.setConfig({
    name: "stratiform",
    systemDatabaseUrl: options.databaseUrl,
    systemDatabasePool: pool,
    applicationVersion: engineProtocol,
    executorID: launch.processId,
    useListenNotify: false,
    listenQueues: [queueName],
    logger: dbosLog(options.log),
  });
  await DBOS.launch();
  await DBOS.registerQueue(queueName, {
    workerConcurrency: launch.runConcurrency,
    minPollingIntervalMs: launch.queuePollMs,
    onConflict: "always_update",
  });
  return {
    async shutdown() {
      await DBOS.shutdown();
      await pool.end();
    },
  };
}

/** DBOS's lines are of interest only when something is wrong. */
function dbosLog(log: Log) {
  const text = (entry: unknown) => ({ dbos: entry instanceof Error ? (entry.stack ?? entry.message) : String(entry) });
  return {
    debug: () => {},
    info: (entry: unknown) => log.debug(text(entry), "dbos"),
    warn: (entry: unknown) => log.warn(text(entry), "dbos"),
    error: (entry: unknown) => log.error(text(entry), "dbos"),
  };
}
