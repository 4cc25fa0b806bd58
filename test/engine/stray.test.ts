/**
 * A run that belongs to a living process on paper and is executed by nobody: what a database leaves that dies while it answers DBOS's
 * dequeue. Made by hand here, since the moment is a matter of microseconds.
 */
import { randomUUID } from "node:crypto";
import { sql } from "kysely";
import { afterAll, beforeAll, expect, test } from "vitest";
import type { Engine } from "#engine/contract.ts";
import { startEngine } from "#engine/engine.ts";
import { createRun } from "#engine/run.ts";
import { systemClock } from "#lib/clock.ts";
import { silentLog } from "#lib/log.ts";
import type { Database } from "#store/database.ts";
import { diamond, makeTestWork, prepareTestTables, traceRun } from "../support/engine-work.ts";
import { startTestPostgres, type TestPostgres } from "../support/postgres.ts";

let postgres: TestPostgres;
let database: Database;
let engine: Engine;

beforeAll(async () => {
  postgres = await startTestPostgres(undefined, prepareTestTables);
  const url = await postgres.createDatabase();
  database = postgres.open(url);
  engine = await startEngine({
    database,
    databaseUrl: url,
    home: "/stray-test",
    log: silentLog,
    clock: systemClock,
    settings: { heartbeatTtlMs: 3_000, queuePollMs: 20, watchMs: 50 },
    work: makeTestWork(database),
  });
});
afterAll(async () => {
  await engine?.close();
  await postgres?.close();
});

test("it is put back into the queue and ends as if nothing had been", async () => {
  const id = randomUUID();
  await database.transaction().execute(async (tx) => {
    await createRun(tx, { id, steps: diamond({}), onFailure: "compensate" });
    await sql`update dbos.workflow_status set status = 'PENDING', executor_id = ${engine.processId} where workflow_uuid = ${id}`.execute(
      tx,
    );
  });
  expect(await engine.waitForRun(id, 20_000)).toBe("succeeded");
  const { journal } = await traceRun(database, id);
  expect(journal.filter((entry) => entry.startsWith("do:"))).toHaveLength(new Set(journal).size);
});

test("a run that takes long is left to the process that executes it", async () => {
  const id = randomUUID();
  await database
    .transaction()
    .execute((tx) =>
      createRun(tx, { id, steps: diamond({ a: { ms: 1_500 }, b: { ms: 1_500 }, d: { ms: 1_500 } }), onFailure: "compensate" }),
    );
  expect(await engine.waitForRun(id, 30_000)).toBe("succeeded");
  const { rows } = await sql<{
    attempts: number;
  }>`select recovery_attempts as attempts from dbos.workflow_status where workflow_uuid = ${id}`.execute(database);
  expect(rows[0]!.attempts).toBe(1);
});
