/**
 * Opens the database: one `pg` pool under Kysely, errors of idle connections guarded, and transactions that wait out infrastructure
 * trouble instead of reporting it as an outcome.
 */
import { Kysely, PostgresDialect, type Transaction } from "kysely";
import pg from "pg";
import type { Clock, Log } from "#domain/context.ts";
import type { Schema } from "#store/schema.ts";

export type Database = Kysely<Schema>;
/** In a transaction only this is used, never the pool. */
export type Tx = Transaction<Schema>;

const connectTimeoutMs = 5_000;
const defaultPoolSize = 10;

// int8 (counters, byte sizes) fits a double everywhere we use it; text would silently break arithmetic.
pg.types.setTypeParser(pg.types.builtins.INT8, (text) => Number(text));

export interface OpenDatabaseOptions {
  readonly url: string;
  readonly log: Log;
  readonly poolSize?: number;
  readonly applicationName?: string;
}

/** Opens lazily: no connection is made until the first query. Close with `database.destroy()`. */
export function openDatabase(options: OpenDatabaseOptions): Database {
  const pool = new pg.Pool({
    connectionString: options.url,
    max: options.poolSize ?? defaultPoolSize,
    connectionTimeoutMillis: connectTimeoutMs,
    application_name: options.applicationName ?? "stratiform",
    keepAlive: true,
  });
  guardPool(pool, options.log);
  return new Kysely<Schema>({ dialect: new PostgresDialect({ pool }) });
}

/** Without these listeners a server restart ends the whole process with an unhandled `error` event. */
export function guardPool(pool: pg.Pool, log: Log): void {
  pool.on("error", (error) => log.warn({ error: error.message }, "idle database connection lost"));
  pool.on("connect", (client) => client.on("error", (error) => log.warn({ error: error.message }, "database connection lost")));
}

const transientSqlStates = /^(08|57P|40001|40P01|53|55P03)/;
const transientSystemCodes = new Set([
  "ECONNREFUSED",
  "ECONNRESET",
  "EPIPE",
  "ENOENT",
  "ETIMEDOUT",
  "ENOTFOUND",
  "EAI_AGAIN",
  "EHOSTUNREACH",
]);
const transientMessages =
  /Connection terminated|not queryable|timeout exceeded when trying to connect|Client has encountered a connection error|the database system is/;

/** True for trouble of the database or the way to it: repeating the transaction may succeed and cannot do harm. */
export function isTransientDatabaseError(error: unknown): boolean {
  if (!(error instanceof Error)) return false;
  if (isConnectionRefusal(error)) return true;
  return transientSqlStates.test(codeOf(error)) || transientMessages.test(error.message);
}

/** An error of the operating system's sockets, whoever the peer was. */
export function isConnectionRefusal(error: unknown): boolean {
  if (error instanceof AggregateError) return error.errors.some(isConnectionRefusal);
  if (!(error instanceof Error) || !transientSystemCodes.has(codeOf(error)) || !("syscall" in error)) return false;
  // A socket file that is not there yet refuses a connection; any other missing file is somebody's mistake and stays away.
  return codeOf(error) !== "ENOENT" || error.syscall === "connect";
}

function codeOf(error: Error): string {
  return "code" in error && typeof error.code === "string" ? error.code : "";
}

export interface RetryOptions {
  readonly clock: Clock;
  readonly log: Log;
  readonly signal?: AbortSignal;
  /** Gives up (throwing the last error) after this long. Default: never; use a limit in request handlers. */
  readonly limitMs?: number;
}

const firstPauseMs = 20;
const longestPauseMs = 2_000;

/** Runs `attempt` until it does not fail for infrastructure reasons. `attempt` must be a whole transaction or a read. */
export async function retryDatabase<T>(options: RetryOptions, attempt: () => Promise<T>): Promise<T> {
  const started = options.clock.now();
  for (let pauseMs = firstPauseMs; ; pauseMs = Math.min(pauseMs * 2, longestPauseMs)) {
    try {
      return await attempt();
    } catch (error) {
      options.signal?.throwIfAborted();
      if (!isTransientDatabaseError(error)) throw error;
      if (options.limitMs !== undefined && options.clock.now() - started > options.limitMs) throw error;
      options.log.warn({ error: String(error), pauseMs }, "database not available, trying again");
      await options.clock.sleep(pauseMs, options.signal);
    }
  }
}

/** One transaction, repeated as a whole on infrastructure errors: `body` must have no effect outside `tx`. */
export function transact<T>(database: Database, options: RetryOptions, body: (tx: Tx) => Promise<T>): Promise<T> {
  return retryDatabase(options, () => database.transaction().execute(body));
}
