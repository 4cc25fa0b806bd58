/**
 * Brings the schema up to date: every migration once, in order, each in its own transaction, one migrator at a time. A schema that is
 * newer than this code is refused: an old process must not write into tables it does not know.
 */
import { type Kysely, sql } from "kysely";
import { AppError } from "#domain/error.ts";
import type { Database } from "#store/database.ts";

export interface Migration {
  /** File name without extension, e.g. `0001-engine`. */
  readonly name: string;
  up(db: Kysely<unknown>): Promise<void>;
}

/** Any constant: it only has to be the same in all our processes. */
const migrationLock = 7_163_501;

/** Returns the names that were applied now. */
export async function migrate(database: Database, migrations: readonly Migration[]): Promise<string[]> {
  const names = migrations.map((migration) => migration.name);
  if (names.toSorted().join() !== names.join() || new Set(names).size !== names.length)
    throw new Error("migrations must be in order, each once");
  return database.connection().execute(async (connection) => {
    await sql`select pg_advisory_lock(${migrationLock})`.execute(connection);
    try {
      return await applyMissing(connection, migrations);
    } finally {
      await sql`select pg_advisory_unlock(${migrationLock})`.execute(connection);
    }
  });
}

async function applyMissing(connection: Database, migrations: readonly Migration[]): Promise<string[]> {
  await sql`create table if not exists schema_migration (name text primary key, applied_at timestamptz not null default now())`.execute(
    connection,
  );
  const { rows } = await sql<{ name: string }>`select name from schema_migration order by name`.execute(connection);
  const known = new Set(migrations.map((migration) => migration.name));
  const unknown = rows.filter((row) => !known.has(row.name)).map((row) => row.name);
  if (unknown.length > 0) {
    throw new AppError("conflict", "The database was written by a newer version", {
      internal: `unknown migrations: ${unknown.join(", ")}`,
    });
  }
  const applied = new Set(rows.map((row) => row.name));
  const missing = migrations.filter((migration) => !applied.has(migration.name));
  for (const migration of missing) {
    await connection.transaction().execute(async (tx) => {
      await migration.up(tx as unknown as Kysely<unknown>);
      await sql`insert into schema_migration (name) values (${migration.name})`.execute(tx);
    });
  }
  return missing.map((migration) => migration.name);
}
