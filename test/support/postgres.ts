/**
 * A real PostgreSQL for one test file: its own server in a temporary folder, a template database that is prepared once, and clones of
 * it. Durability of the operating system is switched off (`fsync`): killed servers still recover, only power cuts would not.
 */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DBOS } from "@dbos-inc/dbos-sdk";
import pg from "pg";
import { silentLog } from "#lib/log.ts";
import { type Database, openDatabase } from "#store/database.ts";
import { type EmbeddedPostgres, startEmbeddedPostgres } from "#store/embedded.ts";
import { waitUntilUnused } from "#store/embedded-process.ts";
import { migrate, type Migration } from "#store/migrate.ts";
import * as engineMigration from "#store/migrations/0001-engine.ts";

export const engineMigrations: readonly Migration[] = [{ name: "0001-engine", up: engineMigration.up }];

export interface TestPostgres {
  /** A new database, cloned from the template; returns its URL. */
  createDatabase(): Promise<string>;
  /** Opens a database and closes it in `close`. */
  open(url: string): Database;
  /** SIGKILL to the server's main process, as when it runs out of memory; resolves when its backends are gone too. */
  kill(): Promise<void>;
  /** Starts the server again on the same port. */
  start(): Promise<void>;
  /** Closes what was opened, stops the server, deletes the folder. */
  close(): Promise<void>;
}

const settings = { fsync: "off", full_page_writes: "off" };

/** `prepare` makes what every test database contains besides the migrations. */
export async function startTestPostgres(
  migrations: readonly Migration[] = engineMigrations,
  prepare: (database: Database) => Promise<void> = async () => {},
): Promise<TestPostgres> {
  const folder = await mkdtemp(join(tmpdir(), "stratiform-test-postgres-"));
  let server: EmbeddedPostgres = await startEmbeddedPostgres({ folder, settings });
  const opened: Database[] = [];
  let clones = 0;
  await prepareTemplate(server.url, migrations, prepare);
  return {
    async createDatabase() {
      clones += 1;
      const name = `test_${clones}`;
      // The default, a copy through the log, keeps what a sequence of the template had reserved: after a crash the clone's would go back.
      await asAdmin(server.url, `create database ${name} template stratiform strategy file_copy`);
      return databaseUrl(server.url, name);
    },
    open(url) {
      const database = openDatabase({ url, log: silentLog });
      opened.push(database);
      return database;
    },
    async kill() {
      process.kill(server.pid, "SIGKILL");
      await waitUntilUnused(join(folder, "data"), 10_000);
    },
    async start() {
      server = await startEmbeddedPostgres({ folder, settings });
    },
    async close() {
      await Promise.all(opened.map((database) => database.destroy()));
      await server.stop();
      await rm(folder, { recursive: true, force: true });
    },
  };
}

async function prepareTemplate(
  url: string,
  migrations: readonly Migration[],
  prepare: (database: Database) => Promise<void>,
): Promise<void> {
  await DBOS.migrate(url);
  const database = openDatabase({ url, log: silentLog });
  try {
    await migrate(database, migrations);
    await prepare(database);
  } finally {
    await database.destroy();
  }
}

async function asAdmin(url: string, text: string): Promise<void> {
  const client = new pg.Client({ connectionString: databaseUrl(url, "postgres") });
  await client.connect();
  try {
    await client.query(text);
  } finally {
    await client.end();
  }
}

function databaseUrl(url: string, name: string): string {
  const parsed = new URL(url);
  parsed.pathname = `/${name}`;
  return parsed.href;
}
