import { randomUUID } from "node:crypto";
import { sql } from "kysely";
import { afterAll, beforeAll, expect, test } from "vitest";
import type { Engine, EngineSettings, RunStep } from "#engine/contract.ts";
import type { OnFailure } from "#domain/saga.ts";
import { startEngine } from "#engine/engine.ts";
import { createRun, requestCancel, wakeEvent } from "#engine/run.ts";
import { systemClock } from "#lib/clock.ts";
import { silentLog } from "#lib/log.ts";
import type { Database } from "#store/database.ts";
import { diamond, makeTestWork, prepareTestTables, testStep, traceRun } from "../support/engine-work.ts";
import { engineMigrations, startTestPostgres, type TestPostgres } from "../support/postgres.ts";

let postgres: TestPostgres;
let database: Database;
let url: string;
let engine: Engine;

const settings: EngineSettings = { heartbeatTtlMs: 3_000, queuePollMs: 20, watchMs: 50 };

beforeAll(async () => {
  postgres = await startTestPostgres(engineMigrations, prepareTestTables);
  url = await postgres.createDatabase();
  database = postgres.open(url);
  engine = await start();
});
afterAll(async () => {
  await engine?.close();
  await postgres?.close();
});

function start(): Promise<Engine> {
  return startEngine({
    database,
    databaseUrl: url,
    home: "/test",
    log: silentLog,
    clock: systemClock,
    work: makeTestWork(database),
    settings,
  });
}

async function submit(steps: readonly RunStep[], onFailure: OnFailure = "compensate"): Promise<string> {
  const id = randomUUID();
  await database.transaction().execute((tx) => createRun(tx, { id, steps, onFailure }));
  return id;
}

async function until(condition: () => Promise<boolean>): Promise<void> {
  const deadline = Date.now() + 10_000;
  while (!(await condition())) {
    if (Date.now() > deadline) throw new Error("the condition did not become true");
    await systemClock.sleep(20);
  }
}

async function runState(id: string): Promise<string | undefined> {
  return (await database.selectFrom("run").select("state").where("id", "=", id).executeTakeFirst())?.state;
}

async function workflowStates(id: string): Promise<string[]> {
  const rows = await sql<{
    status: string;
  }>`select status from dbos.workflow_status where workflow_uuid = ${id} or workflow_uuid like ${`${id}:%`} order by created_at`.execute(
    database,
  );
  return rows.rows.map((row) => row.status);
}

test("a graph runs in order of its dependencies, neighbours side by side", async () => {
  const id = await submit(diamond({ b: { ms: 300 }, c: { ms: 300 } }));
  expect(await engine.waitForRun(id, 20_000)).toBe("succeeded");
  const trace = await traceRun(database, id);
  expect(trace.journal.toSorted()).toEqual(["do:a:ok", "do:b:ok", "do:c:ok", "do:d:ok", "do:e:ok"]);
  expect(trace.domain).toEqual(trace.journal);
  expect(trace.ends).toEqual(["succeeded"]);
  const steps = await database.selectFrom("run_step").selectAll().where("run_id", "=", id).orderBy("ordinal").execute();
  const [a, b, c, d, e] = steps;
  expect(steps.map((step) => step.state)).toEqual(["ok", "ok", "ok", "ok", "ok"]);
  expect(b!.started_at!.getTime()).toBeLessThan(c!.finished_at!.getTime());
  expect(c!.started_at!.getTime()).toBeLessThan(b!.finished_at!.getTime());
  expect(a!.finished_at!.getTime()).toBeLessThanOrEqual(b!.started_at!.getTime());
  expect(d!.started_at!.getTime()).toBeGreaterThanOrEqual(c!.finished_at!.getTime());
  // Outputs reach the steps that come after.
  expect(e!.output).toMatchObject({ before: [{ step: "d", before: [{ step: "b" }, { step: "c" }] }] });
});

test("a failure undoes what was attempted, in reverse order, and nothing else", async () => {
  const id = await submit(diamond({ c: { fail: "endpoint_refused" }, b: { ms: 200 } }));
  expect(await engine.waitForRun(id, 20_000)).toBe("compensated");
  const trace = await traceRun(database, id);
  // b was in flight when c failed: it settles first.
  expect(trace.journal.slice(0, 3)).toEqual(["do:a:ok", "do:c:failed", "do:b:ok"]);
  expect(trace.journal.slice(3, 5).toSorted()).toEqual(["undo:b:ok", "undo:c:ok"]);
  expect(trace.journal.slice(5)).toEqual(["undo:a:ok"]);
  expect(trace.domain).toEqual(trace.journal);
  expect(trace.ends).toEqual(["compensated"]);
  const step = await database
    .selectFrom("run_step")
    .select(["error", "state"])
    .where("run_id", "=", id)
    .where("step_id", "=", "c")
    .executeTakeFirst();
  expect(step).toEqual({ state: "undone", error: { code: "endpoint_refused", message: "do c fails" } });
});

test("a failure of a run that only goes forward leaves things as they are", async () => {
  const id = await submit(diamond({ d: { fail: "endpoint_refused" } }), "stop");
  expect(await engine.waitForRun(id, 20_000)).toBe("failed");
  expect((await traceRun(database, id)).journal.at(-1)).toBe("do:d:failed");
});

test("a failed undo ends the run as failed, and undoes what does not depend on it", async () => {
  const id = await submit(diamond({ b: { failUndo: "not_ours" }, d: { fail: "guest_failed" } }));
  expect(await engine.waitForRun(id, 20_000)).toBe("failed");
  const { journal } = await traceRun(database, id);
  expect(journal).toContain("undo:b:failed");
  expect(journal).toContain("undo:c:ok");
  expect(journal.some((line) => line.startsWith("undo:a"))).toBe(false);
});

test("retryable errors are retried inside the engine and are not in the journal", async () => {
  const id = await submit([testStep("a", [], { busy: 2 })]);
  expect(await engine.waitForRun(id, 20_000)).toBe("succeeded");
  const trace = await traceRun(database, id);
  expect(trace.journal).toEqual(["do:a:ok"]);
  expect(trace.outside).toEqual(["do:a", "do:a", "do:a"]);
});

test("an attempt that takes too long is aborted and tried again", async () => {
  const id = await submit([testStep("a", [], { ms: 60_000, attemptTimeoutMs: 100 })]);
  await until(async () => (await traceRun(database, id)).outside.length >= 2);
  await database.transaction().execute((tx) => requestCancel(tx, id));
  expect(await engine.waitForRun(id, 20_000)).toBe("compensated");
});

test("an error while applying a result becomes the step's failure", async () => {
  const id = await submit([testStep("a"), testStep("b", ["a"], { failApply: true })]);
  expect(await engine.waitForRun(id, 20_000)).toBe("compensated");
  const trace = await traceRun(database, id);
  expect(trace.journal).toEqual(["do:a:ok", "do:b:failed", "undo:b:ok", "undo:a:ok"]);
  expect(trace.domain).toEqual(trace.journal);
});

test("a timer ends the workflow, occupies nothing, and goes on in the next segment", async () => {
  const id = await submit([testStep("a", [], { waitMs: 1_500 }), testStep("b", ["a"])]);
  await until(async () => (await runState(id)) === "waiting");
  await until(async () => (await workflowStates(id)).join() === "SUCCESS");
  expect(await engine.waitForRun(id, 20_000)).toBe("succeeded");
  expect((await traceRun(database, id)).journal).toEqual(["wait:a", "wake:a", "do:a:ok", "do:b:ok"]);
  expect(await database.selectFrom("run_wait").selectAll().where("run_id", "=", id).execute()).toEqual([]);
});

test("an event wakes whoever waits for it, with its payload", async () => {
  const key = `approval:${randomUUID()}`;
  const ids = [
    await submit([testStep("a", [], { waitEvent: key })]),
    await submit([testStep("a", [], { waitEvent: key }), testStep("slow", [], { ms: 1_500 })]),
  ];
  await until(async () => (await database.selectFrom("run_wait").selectAll().where("event", "=", key).execute()).length === 2);
  expect(await database.transaction().execute((tx) => wakeEvent(tx, key, { approved: true }))).toBe(2);
  for (const id of ids) expect(await engine.waitForRun(id, 20_000)).toBe("succeeded");
  const step = await database.selectFrom("run_step").select("output").where("run_id", "=", ids[0]!).executeTakeFirst();
  expect(step?.output).toMatchObject({ woken: { approved: true } });
  // The second was awake with its other step: it went on in the same segment.
  const second = await database.selectFrom("run").select("segment").where("id", "=", ids[1]!).executeTakeFirst();
  expect(second?.segment).toBe(1);
  expect(await database.transaction().execute((tx) => wakeEvent(tx, key, {}))).toBe(0);
});

test("cancel aborts what is being done and undoes what was attempted", async () => {
  const id = await submit([testStep("a"), testStep("b", ["a"], { ms: 60_000 }), testStep("c", ["b"])]);
  await until(async () => (await traceRun(database, id)).outside.includes("do:b"));
  expect(await database.transaction().execute((tx) => requestCancel(tx, id))).toBe(true);
  expect(await engine.waitForRun(id, 10_000)).toBe("compensated");
  expect((await traceRun(database, id)).journal).toEqual(["do:a:ok", "cancel", "do:b:failed", "undo:b:ok", "undo:a:ok"]);
  expect(await database.transaction().execute((tx) => requestCancel(tx, id))).toBe(false);
});

test("cancel reaches a run that waits", async () => {
  const id = await submit([testStep("a", [], { waitEvent: "never" })]);
  await until(async () => (await runState(id)) === "waiting");
  await database.transaction().execute((tx) => requestCancel(tx, id));
  expect(await engine.waitForRun(id, 10_000)).toBe("compensated");
  expect((await traceRun(database, id)).journal).toEqual(["wait:a", "cancel", "undo:a:ok"]);
});

test("a run and its enqueueing are in the caller's transaction", async () => {
  const id = randomUUID();
  await expect(
    database.transaction().execute(async (tx) => {
      await createRun(tx, { id, steps: diamond(), onFailure: "compensate" });
      throw new Error("the order is refused");
    }),
  ).rejects.toThrow("refused");
  expect(await runState(id)).toBeUndefined();
  expect(await workflowStates(id)).toEqual([]);
});

test("closing the engine leaves unfinished runs to the next one", async () => {
  const id = await submit([testStep("a"), testStep("b", ["a"], { busy: 1_000 }), testStep("c", [], { ms: 400 })]);
  await until(async () => (await traceRun(database, id)).outside.includes("do:b"));
  const started = Date.now();
  await engine.close();
  expect(Date.now() - started).toBeLessThan(5_000);
  // c was in flight and could finish; b is still open.
  expect((await traceRun(database, id)).journal).toContain("do:c:ok");
  await database
    .updateTable("run_step")
    .set({ input: JSON.stringify({}) })
    .where("run_id", "=", id)
    .where("step_id", "=", "b")
    .execute();
  engine = await start();
  expect(await engine.waitForRun(id, 20_000)).toBe("succeeded");
  expect((await traceRun(database, id)).journal.toSorted()).toEqual(["do:a:ok", "do:b:ok", "do:c:ok"]);
});

test("only the leader runs a loop", async () => {
  let rounds = 0;
  engine.lead("test.loop", async () => void (rounds += 1), 20);
  await until(async () => rounds > 3);
  const row = await database.selectFrom("leadership").selectAll().where("name", "=", "test.loop").executeTakeFirst();
  expect(row?.process_id).toBe(engine.processId);
});
