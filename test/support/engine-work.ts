/**
 * Work for engine tests: every step writes a row when it is performed (outside, at least once) and one when it is applied (inside the
 * transaction, exactly once). What a step does is said by its input, so that a child process needs nothing but the database.
 */
import { sql } from "kysely";
import { AppError, type ErrorCode } from "#domain/error.ts";
import type { Json } from "#domain/json.ts";
import type { RunStep, RunWork, StepResult } from "#engine/contract.ts";
import type { Database } from "#store/database.ts";

/** All optional; the default is a step that succeeds at once. */
export interface TestStepInput {
  /** Duration of `perform` in phase `do`. */
  readonly ms?: number;
  /** Blocks the whole main thread, as a runaway computation would. */
  readonly blockMs?: number;
  readonly fail?: ErrorCode;
  readonly failUndo?: ErrorCode;
  /** The first attempts fail with `endpoint_busy`. */
  readonly busy?: number;
  /** `apply` throws for a `do` that succeeded. */
  readonly failApply?: boolean;
  /** Waits: milliseconds for a timer, or the key of an event. */
  readonly waitMs?: number;
  readonly waitEvent?: string;
  readonly attemptTimeoutMs?: number;
}

export async function prepareTestTables(database: Database): Promise<void> {
  await sql`create table test_outside (id bigserial, run_id uuid, step_id text, phase text, attempt int, process int, at timestamptz default clock_timestamp())`.execute(
    database,
  );
  await sql`create table test_domain (id bigserial, run_id uuid, step_id text, phase text, outcome text, at timestamptz default clock_timestamp())`.execute(
    database,
  );
  await sql`create table test_end (run_id uuid primary key, outcome text)`.execute(database);
}

export function testStep(id: string, after: readonly string[] = [], input: TestStepInput = {}, undoable = true): RunStep {
  return { id, kind: "test", after, undoable, title: `Step ${id}`, input: input as Json };
}

/** a -> b, c -> d -> e, with b and c side by side. */
export function diamond(inputs: Partial<Record<"a" | "b" | "c" | "d" | "e", TestStepInput>> = {}): RunStep[] {
  return [
    testStep("a", [], inputs.a),
    testStep("b", ["a"], inputs.b),
    testStep("c", ["a"], inputs.c),
    testStep("d", ["b", "c"], inputs.d),
    testStep("e", ["d"], inputs.e),
  ];
}

export function makeTestWork(database: Database): RunWork {
  return {
    limits: (step) => {
      const { attemptTimeoutMs } = step.input as TestStepInput;
      return attemptTimeoutMs === undefined ? {} : { attemptTimeoutMs };
    },
    async perform(ctx, phase): Promise<StepResult> {
      const input = ctx.step.input as TestStepInput;
      await sql`insert into test_outside (run_id, step_id, phase, attempt, process)
                values (${ctx.runId}, ${ctx.stepId}, ${phase}, ${ctx.attempt}, ${process.pid})`.execute(database);
      if (input.ms !== undefined && phase === "do") await ctx.clock.sleep(input.ms, ctx.signal);
      if (input.blockMs !== undefined) Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, input.blockMs);
      if (input.busy !== undefined && ctx.attempt <= input.busy) throw new AppError("endpoint_busy", "busy");
      const failure = phase === "do" ? input.fail : input.failUndo;
      if (failure !== undefined) throw new AppError(failure, `${phase} ${ctx.stepId} fails`);
      if (phase === "do" && ctx.woken === undefined) {
        if (input.waitMs !== undefined) return { wait: { until: ctx.clock.now() + input.waitMs, reason: "a timer" } };
        if (input.waitEvent !== undefined) return { wait: { event: input.waitEvent, reason: "an event" } };
      }
      const before = ctx.step.after.map((id) => ctx.outputs(id));
      return { output: { step: ctx.stepId, woken: ctx.woken ?? null, before }, changes: ctx.stepId };
    },
    async apply(tx, runId, step, phase, settlement) {
      await sql`insert into test_domain (run_id, step_id, phase, outcome) values (${runId}, ${step.id}, ${phase}, ${settlement.outcome})`.execute(
        tx,
      );
      if ((step.input as TestStepInput).failApply === true && phase === "do" && settlement.outcome === "ok")
        throw new AppError("conflict", "apply fails");
    },
    async finish(tx, runId, outcome) {
      await sql`insert into test_end (run_id, outcome) values (${runId}, ${outcome})`.execute(tx);
    },
  };
}

/** What happened to a run, as compact strings: `do:a:ok`. */
export interface RunTrace {
  readonly journal: readonly string[];
  readonly domain: readonly string[];
  readonly outside: readonly string[];
  readonly ends: readonly string[];
}

export async function traceRun(database: Database, runId: string): Promise<RunTrace> {
  const journal = await database.selectFrom("run_journal").selectAll().where("run_id", "=", runId).orderBy("seq").execute();
  const domain = await sql<{
    line: string;
  }>`select phase || ':' || step_id || ':' || outcome as line from test_domain where run_id = ${runId} order by id`.execute(database);
  const outside = await sql<{
    line: string;
  }>`select phase || ':' || step_id as line from test_outside where run_id = ${runId} order by id`.execute(database);
  const ends = await sql<{ outcome: string }>`select outcome from test_end where run_id = ${runId}`.execute(database);
  return {
    journal: journal.map((row) =>
      row.type === "step" ? `${row.phase}:${row.step_id}:${row.outcome}` : row.step_id === null ? row.type : `${row.type}:${row.step_id}`,
    ),
    domain: domain.rows.map((row) => row.line),
    outside: outside.rows.map((row) => row.line),
    ends: ends.rows.map((row) => row.outcome),
  };
}
