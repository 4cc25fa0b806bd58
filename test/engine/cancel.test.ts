/** A cancel that is committed between two entries of the run itself: nobody tells the driver, it must find the gap in its journal. */
import { randomUUID } from "node:crypto";
import { afterAll, beforeAll, expect, test } from "vitest";
import type { Engine } from "#engine/contract.ts";
import { startEngine } from "#engine/engine.ts";
import { createRun, requestCancel } from "#engine/run.ts";
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
  const work = makeTestWork(database);
  engine = await startEngine({
    database,
    databaseUrl: url,
    home: "/cancel-test",
    log: silentLog,
    clock: systemClock,
    settings: { heartbeatTtlMs: 3_000, queuePollMs: 20, watchMs: 50 },
    work: {
      ...work,
      async perform(ctx, phase) {
        const result = await work.perform(ctx, phase);
        if (ctx.stepId === "b" && phase === "do") await database.transaction().execute((tx) => requestCancel(tx, ctx.runId));
        return result;
      },
    },
  });
});
afterAll(async () => {
  await engine?.close();
  await postgres?.close();
});

test("a cancel that lands just before an entry of a step is read, and the run is undone", async () => {
  const id = randomUUID();
  await database.transaction().execute((tx) => createRun(tx, { id, steps: diamond({ c: { ms: 200 } }), onFailure: "compensate" }));
  expect(await engine.waitForRun(id, 10_000)).toBe("compensated");
  const { journal } = await traceRun(database, id);
  expect(journal.slice(0, 3)).toEqual(["do:a:ok", "cancel", "do:b:ok"]);
  expect(journal).toContain("undo:b:ok");
});
