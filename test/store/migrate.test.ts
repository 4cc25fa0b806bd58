import { sql } from "kysely";
import { afterAll, beforeAll, expect, test } from "vitest";
import type { Database } from "#store/database.ts";
import { migrate, type Migration } from "#store/migrate.ts";
import { startTestPostgres, type TestPostgres } from "../support/postgres.ts";

let postgres: TestPostgres;
beforeAll(async () => {
  postgres = await startTestPostgres([]);
});
afterAll(() => postgres.close());

const first: Migration = { name: "0001-a", up: async (db) => void (await sql`create table a (n int)`.execute(db)) };
const second: Migration = { name: "0002-b", up: async (db) => void (await sql`create table b (n int)`.execute(db)) };
const broken: Migration = {
  name: "0003-c",
  async up(db) {
    await sql`create table c (n int)`.execute(db);
    throw new Error("broken");
  },
};

async function fresh(): Promise<Database> {
  return postgres.open(await postgres.createDatabase());
}

async function tables(database: Database): Promise<string[]> {
  const found = await sql<{
    name: string;
  }>`select relname as name from pg_class where relkind = 'r' and relname in ('a', 'b', 'c') order by 1`.execute(database);
  return found.rows.map((row) => row.name);
}

test("applies what is missing, once, in order", async () => {
  const database = await fresh();
  expect(await migrate(database, [first])).toEqual(["0001-a"]);
  expect(await migrate(database, [first, second])).toEqual(["0002-b"]);
  expect(await migrate(database, [first, second])).toEqual([]);
  expect(await tables(database)).toEqual(["a", "b"]);
});

test("two migrators at once apply each migration once", async () => {
  const database = await fresh();
  const applied = await Promise.all([migrate(database, [first, second]), migrate(database, [first, second])]);
  expect(applied.flat().toSorted()).toEqual(["0001-a", "0002-b"]);
});

test("a migration that fails leaves nothing of itself, and what came before it", async () => {
  const database = await fresh();
  await expect(migrate(database, [first, second, broken])).rejects.toThrow("broken");
  expect(await tables(database)).toEqual(["a", "b"]);
});

test("refuses a database of a newer version, and migrations out of order", async () => {
  const database = await fresh();
  await migrate(database, [first, second]);
  await expect(migrate(database, [first])).rejects.toMatchObject({ code: "conflict" });
  await expect(migrate(database, [second, first])).rejects.toThrow("in order");
});
