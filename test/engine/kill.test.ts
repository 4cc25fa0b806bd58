/**
 * kill -9 at every fault point of a run that succeeds and of one that is undone, then a restart: the journal and the domain rows must
 * hold every outcome exactly once. The last test sabotages the engine to show that this would be noticed.
 */
import { randomUUID } from "node:crypto";
import { sql } from "kysely";
import { afterAll, beforeAll, expect, test } from "vitest";
import type { RunStep } from "#engine/contract.ts";
import { faultPoints } from "#engine/fault.ts";
import { createRun } from "#engine/run.ts";
import { systemClock } from "#lib/clock.ts";
import type { Database } from "#store/database.ts";
import { type Child, startChild } from "../support/child.ts";
import { diamond, prepareTestTables, traceRun } from "../support/engine-work.ts";
import { engineMigrations, startTestPostgres, type TestPostgres } from "../support/postgres.ts";

let postgres: TestPostgres;

beforeAll(async () => {
  postgres = await startTestPostgres(engineMigrations, prepareTestTables);
});
afterAll(() => postgres.close());

const undone = diamond({ e: { fail: "endpoint_refused" } });
const succeeding = diamond();
/** One home for all: the next child takes over its killed predecessor at once, without waiting for a heartbeat. */
const home = "/kill-test";

function child(url: string, env: Record<string, string> = {}): Child {
  return startChild("./engine-child.ts", [url, home, "3000"], env);
}

async function submit(database: Database, steps: readonly RunStep[]): Promise<string> {
  const id = randomUUID();
  await database.transaction().execute((tx) => createRun(tx, { id, steps, onFailure: "compensate" }));
  return id;
}

async function waitForEnd(database: Database, ids: readonly string[], limitMs: number): Promise<void> {
  const deadline = Date.now() + limitMs;
  for (;;) {
    const open = await database.selectFrom("run").select("id").where("id", "in", ids).where("finished_at", "is", null).execute();
    if (open.length === 0) return;
    if (Date.now() > deadline) throw new Error(`${open.length} runs have not ended`);
    await systemClock.sleep(30);
  }
}

/** Problems of a run that should have run exactly once; empty when all is well. */
async function problems(database: Database, id: string, expected: readonly string[], outcome: string): Promise<string[]> {
  const trace = await traceRun(database, id);
  const found: string[] = [];
  if (trace.journal.toSorted().join() !== expected.toSorted().join()) found.push(`journal: ${trace.journal.join()}`);
  if (trace.domain.join() !== trace.journal.join()) found.push(`domain rows: ${trace.domain.join()}`);
  if (trace.ends.join() !== outcome) found.push(`ends: ${trace.ends.join()}`);
  const run = await database.selectFrom("run").select("state").where("id", "=", id).executeTakeFirst();
  if (run?.state !== outcome) found.push(`state: ${run?.state}`);
  return found;
}

const allOk = ["do:a:ok", "do:b:ok", "do:c:ok", "do:d:ok", "do:e:ok"];
const allUndone = ["do:a:ok", "do:b:ok", "do:c:ok", "do:d:ok", "do:e:failed", ...["a", "b", "c", "d", "e"].map((id) => `undo:${id}:ok`)];

const points = faultPoints(succeeding);

test("there is a fault point around everything a step does", () => {
  expect(points).toHaveLength(4 + 2 * 4 * 5);
});

/**
 * One child after the other is killed, each at its own fault point, each with one run more; every child also goes on with what its
 * predecessors left. The last one, which is not killed, ends everything.
 */
async function killAtEach(
  faults: readonly string[],
  steps: readonly RunStep[],
  expected: readonly string[],
  outcome: string,
): Promise<string[]> {
  const url = await postgres.createDatabase();
  const database = postgres.open(url);
  const runs = new Map<string, string>();
  for (const fault of faults) {
    const armed = child(url, { STRATIFORM_FAULT: fault });
    runs.set(await submit(database, steps), fault);
    expect(await armed.exited, `${fault} is reached: ${armed.stderr()}`).toBe("SIGKILL");
  }
  const last = child(url);
  await waitForEnd(database, [...runs.keys()], 30_000);
  const found: string[] = [];
  for (const [id, fault] of runs) for (const problem of await problems(database, id, expected, outcome)) found.push(`${fault}: ${problem}`);
  expect(await last.stop()).toBe("0");
  return found;
}

test("kill -9 at every fault point of a run that succeeds: restarted processes end it exactly once", { timeout: 300_000 }, async () => {
  const forward = points.filter((name) => !name.startsWith("undo:"));
  expect(await killAtEach(forward, succeeding, allOk, "succeeded")).toEqual([]);
});

test("kill -9 at every fault point of a run that is undone: restarted processes undo it exactly once", { timeout: 300_000 }, async () => {
  const backward = points.filter((name) => name.startsWith("undo:"));
  expect(await killAtEach(backward, undone, allUndone, "compensated")).toEqual([]);
});

test("the kill test notices a checkpoint outside the transaction", { timeout: 60_000 }, async () => {
  const url = await postgres.createDatabase();
  const database = postgres.open(url);
  const id = await submit(database, succeeding);
  const sabotage = { STRATIFORM_SABOTAGE: "checkpoint-outside" };
  expect(await child(url, { STRATIFORM_FAULT: "do:b:in-transaction", ...sabotage }).exited).toBe("SIGKILL");
  const second = child(url, sabotage);
  await second.ready;
  await waitForEnd(database, [id], 5_000).catch(() => {});
  expect(await problems(database, id, allOk, "succeeded")).not.toEqual([]);
  second.process.kill("SIGKILL");
  await second.exited;
});

async function performing(database: Database): Promise<number> {
  const steps = await database.selectFrom("run_step").select("run_id").where("step_id", "=", "b").where("state", "=", "running").execute();
  return steps.length;
}

test("of two processes one is killed, the other ends all runs, each step once", { timeout: 60_000 }, async () => {
  const url = await postgres.createDatabase();
  const database = postgres.open(url);
  // Different homes: the survivor has nothing but the missing heartbeat to go by.
  const victim = startChild("./engine-child.ts", [url, "/home-a", "2000"]);
  await victim.ready;
  const ids: string[] = [];
  const add = async (ms: number) => void ids.push(await submit(database, diamond({ b: { ms, attemptTimeoutMs: 20_000 } })));
  for (let i = 0; i < 5; i++) await add(6_000);
  await until(async () => (await performing(database)) === 5);
  const survivor = startChild("./engine-child.ts", [url, "/home-b", "2000"]);
  await survivor.ready;
  expect(await performing(database)).toBe(5);
  victim.process.kill("SIGKILL");
  for (let i = 0; i < 5; i++) await add(10);
  await waitForEnd(database, ids, 30_000);
  for (const id of ids) expect(await problems(database, id, allOk, "succeeded")).toEqual([]);
  const processes = await database.selectFrom("control_process").select(["home", "state"]).orderBy("home").execute();
  expect(processes).toEqual([
    { home: "/home-a", state: "dead" },
    { home: "/home-b", state: "alive" },
  ]);
  expect(await survivor.stop()).toBe("0");
});

test("a process that hangs is declared dead, and is stopped when it comes back", { timeout: 60_000 }, async () => {
  const url = await postgres.createDatabase();
  const database = postgres.open(url);
  const hanging = startChild("./engine-child.ts", [url, "/home-a", "2000"]);
  await hanging.ready;
  const id = await submit(database, diamond({ b: { ms: 300 }, c: { ms: 1_000 } }));
  await until(async () => (await traceRun(database, id)).outside.includes("do:c"));
  hanging.process.kill("SIGSTOP");
  const survivor = startChild("./engine-child.ts", [url, "/home-b", "2000"]);
  await waitForEnd(database, [id], 30_000);
  hanging.process.kill("SIGCONT");
  expect(await hanging.exited).toBe("70");
  expect(await problems(database, id, allOk, "succeeded")).toEqual([]);
  expect(await survivor.stop()).toBe("0");
});

test("a process whose main thread is busy longer than a heartbeat lives is not taken for dead", { timeout: 60_000 }, async () => {
  const url = await postgres.createDatabase();
  const database = postgres.open(url);
  const busy = startChild("./engine-child.ts", [url, "/home-a", "2000"]);
  await busy.ready;
  const id = await submit(database, diamond({ b: { blockMs: 5_000, attemptTimeoutMs: 20_000 } }));
  await until(async () => (await traceRun(database, id)).outside.includes("do:b"));
  const watcher = startChild("./engine-child.ts", [url, "/home-b", "2000"]);
  await waitForEnd(database, [id], 30_000);
  expect(await problems(database, id, allOk, "succeeded")).toEqual([]);
  expect((await traceRun(database, id)).outside).toHaveLength(5);
  expect(await watcher.stop()).toBe("0");
  expect(await busy.stop()).toBe("0");
});

test("the database is killed in the middle of runs and comes back: every run ends right", { timeout: 120_000 }, async () => {
  const url = await postgres.createDatabase();
  const database = postgres.open(url);
  const worker = startChild("./engine-child.ts", [url, "/home-a", "3000"]);
  await worker.ready;
  const ids: string[] = [];
  for (let i = 0; i < 6; i++)
    ids.push(
      await submit(
        database,
        i % 2 === 0 ? diamond({ b: { ms: 600 }, d: { ms: 300 } }) : diamond({ c: { ms: 600 }, e: { fail: "endpoint_refused" } }),
      ),
    );
  const inFlight = async () => Promise.all(ids.map(async (id) => (await traceRun(database, id)).outside.includes("do:c")));
  await until(async () => (await inFlight()).every(Boolean));
  await postgres.kill();
  expect(
    await database
      .selectFrom("run")
      .select("id")
      .execute()
      .catch(() => "no answer"),
  ).toBe("no answer");
  await systemClock.sleep(1_000);
  await postgres.start();
  await waitForEnd(database, ids, 60_000);
  for (const [i, id] of ids.entries()) {
    expect(await problems(database, id, i % 2 === 0 ? allOk : allUndone, i % 2 === 0 ? "succeeded" : "compensated")).toEqual([]);
  }
  expect(await worker.stop()).toBe("0");
});

test("thousands of waiting runs occupy nothing", { timeout: 120_000 }, async () => {
  const url = await postgres.createDatabase();
  const database = postgres.open(url);
  const worker = startChild("./engine-child.ts", [url, "/home-a", "3000"]);
  await worker.ready;
  const waiting = await Promise.all(Array.from({ length: 200 }, () => submit(database, [{ ...diamond({ a: { waitEvent: "go" } })[0]! }])));
  await until(async () => (await database.selectFrom("run_wait").select("run_id").execute()).length === waiting.length);
  // Their slots are free: more runs than a process takes at once are waiting, and others run.
  const id = await submit(database, diamond());
  await waitForEnd(database, [id], 5_000);
  const pending = await sql<{
    n: number;
  }>`select count(*)::int as n from dbos.workflow_status where status in ('PENDING', 'ENQUEUED')`.execute(database);
  expect(pending.rows[0]?.n).toBe(0);
  expect(await worker.stop()).toBe("0");
});

async function until(condition: () => Promise<boolean>): Promise<void> {
  const deadline = Date.now() + 60_000;
  while (!(await condition())) {
    if (Date.now() > deadline) throw new Error("the condition did not become true");
    await systemClock.sleep(20);
  }
}
