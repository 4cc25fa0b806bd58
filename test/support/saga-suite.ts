/**
 * The generic tests every built-in process passes: it runs; each step may be carried out twice; a failure at any step, before or after
 * its work was done, leaves a clean world; undoing twice is undoing once; an answer lost at any call changes nothing. The steps come
 * from the plan itself, so that a step added tomorrow is tested tomorrow.
 *
 * A vApp that a case left as it found it is the next case's: deploying one for each case took most of the time, and a process that works
 * on a vApp it has failed on before shows more.
 */
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { AppError } from "#domain/error.ts";
import { parseId } from "#domain/id.ts";
import type { OrderView } from "#domain/order.ts";
import type { PlanRequest } from "#domain/plan.ts";
import type { RunOutcome, SagaPhase } from "#domain/saga.ts";
import type { RunWork, StepContext, StepResult } from "#engine/contract.ts";
import type { ProcessDefinition } from "#process/contract.ts";
import type { Platform } from "#app/context.ts";
import { orderByRun } from "#store/order.ts";
import { startInstallation, type Change, type Installation } from "./installation.ts";
import { type Expected, seenInSim, worldProblems } from "./world-verdict.ts";

export interface SagaCase {
  /** What the vApp is before: not there, running, stopped, or running with a machine that vanished and one that crashed. */
  readonly before: "nothing" | "running" | "stopped" | "broken";
  readonly done: Expected;
  /** After a failure. `owned`: the process only goes forward; ordering it again must finish the job. */
  readonly undone: Expected;
  readonly input?: PlanRequest["input"];
  /** Whether this change only goes forward; default: as its process says. */
  readonly forward?: boolean;
  /** Default `tiny`. */
  readonly offering?: string;
  /** Of the offering. */
  readonly parameters?: PlanRequest["input"];
  /** Orders carried out before, after the deployment: action and input. */
  readonly first?: readonly Preparation[];
  /** Orders that bring the vApp from `done` back to what it was before; without them the next case takes another vApp. */
  readonly again?: readonly Preparation[];
}

type Preparation = readonly [action: string, input: PlanRequest["input"]];

type Perform = (ctx: StepContext, phase: SagaPhase, perform: RunWork["perform"]) => Promise<StepResult>;

/** Stands between engine and application; what it does is chosen by the name of the run's vApp. */
export class Tampers {
  readonly #byVapp = new Map<string, Perform>();
  readonly #names = new Map<string, string>();

  set(vapp: string, perform: Perform): void {
    this.#byVapp.set(vapp, perform);
  }

  clear(vapp: string): void {
    this.#byVapp.delete(vapp);
  }

  wrap(work: RunWork, platform: Platform): RunWork {
    return {
      ...work,
      perform: async (ctx, phase) => {
        const name = this.#names.get(ctx.runId) ?? (await orderByRun(platform.database, ctx.runId))!.vapp_name;
        this.#names.set(ctx.runId, name);
        const tamper = this.#byVapp.get(name);
        return tamper === undefined ? work.perform(ctx, phase) : tamper(ctx, phase, (own, at) => work.perform(own, at));
      },
    };
  }
}

/** Runs at once; more would only measure the machine. */
const concurrency = 4;

export function sagaSuite<I>(process: ProcessDefinition<I>, saga: SagaCase): void {
  const tampers = new Tampers();
  let installation: Installation;
  let names = 0;
  beforeAll(async () => {
    installation = await startInstallation({
      work: (work, platform) => tampers.wrap(work, platform),
      processes: [process as ProcessDefinition<unknown>],
    });
  });
  afterAll(() => installation.close());
  /** Names of vApps in the state before that no case uses. */
  const idle: string[] = [];

  const forward = saga.forward ?? process.onFailure === "stop";
  const failedOutcome: RunOutcome = forward ? "failed" : "compensated";

  async function run(action: string, change: Change): Promise<{ order: OrderView; outcome: RunOutcome }> {
    const order = await installation.order(action, change);
    return { order, outcome: await installation.waitFor(order) };
  }

  async function must(action: string, change: Change): Promise<void> {
    expect((await run(action, change)).outcome, `${action} as preparation`).toBe("succeeded");
  }

  /** A vApp in the state before; returns its name. */
  async function prepare(): Promise<string> {
    const name = idle.pop() ?? (await deploy());
    // Not before it is taken: idle vApps are judged as well.
    if (saga.before === "broken") await breakMachines(installation, name);
    return name;
  }

  async function deploy(): Promise<string> {
    const name = `v${(names += 1)}`;
    if (saga.before === "nothing") return name;
    await must("deploy", deployment(name));
    for (const [action, input] of saga.first ?? []) await must(action, { vapp: name, input });
    if (saga.before === "stopped") await must("stop", { vapp: name, input: { graceSeconds: 0 } });
    return name;
  }

  /** After a case that found nothing wrong: the next one may take the vApp if it is, or can be brought, back in the state before. */
  async function giveBack(name: string, state: "done" | "undone"): Promise<void> {
    if (saga.before === "nothing" || (state === "done" && saga.again === undefined)) return;
    if (state === "done") for (const [action, input] of saga.again ?? []) await must(action, { vapp: name, input });
    idle.push(name);
  }

  function deployment(name: string): Change {
    return { input: { offering: saga.offering ?? "tiny", name, parameters: saga.parameters ?? {} } };
  }

  function change(name: string): Change {
    return saga.before === "nothing" ? deployment(name) : { vapp: name, input: saga.input ?? {} };
  }

  async function verdict(expected: Readonly<Record<string, Expected>>): Promise<string[]> {
    return worldProblems(installation.sql, seenInSim(await installation.simDump()), expected);
  }

  /** Runs the process under a tamper; returns what is wrong afterwards, named by the case. */
  async function tampered(label: string, tamper: Perform, outcome: RunOutcome, expected: Expected): Promise<string[]> {
    const name = await prepare();
    tampers.set(name, tamper);
    const result = await run(process.name, change(name));
    tampers.clear(name);
    const problems =
      result.outcome === outcome ? [] : [`ended ${result.outcome}, not ${outcome}: ${await errorsOf(installation, result.order)}`];
    problems.push(...(await ownProblems(name, expected)));
    if (problems.length === 0 && forward && outcome === "failed") {
      const again = await run(process.name, change(name));
      if (again.outcome !== "succeeded")
        problems.push(`ordered again it ended ${again.outcome}: ${await errorsOf(installation, again.order)}`);
      problems.push(...(await ownProblems(name, saga.done)));
    }
    if (problems.length === 0) await giveBack(name, outcome === "compensated" ? "undone" : "done");
    return problems.map((problem) => `${label}: ${problem}`);
  }

  /** Only of this vApp: others are in the middle of their runs. */
  async function ownProblems(name: string, expected: Expected): Promise<string[]> {
    return (await verdict({ [name]: expected })).filter(
      (problem) => problem.startsWith(`${name} (`) || problem.startsWith(`vApp ${name} `),
    );
  }

  async function stepIds(): Promise<{ id: string; undoable: boolean }[]> {
    const name = await prepare();
    const plan = await installation.plan(process.name, change(name));
    expect(plan.steps.length).toBeGreaterThan(0);
    await must(process.name, change(name));
    await giveBack(name, "done");
    return plan.steps;
  }

  describe(`saga ${process.name}`, () => {
    test("runs", async () => {
      const name = await prepare();
      const { outcome, order } = await run(process.name, change(name));
      expect(outcome, await errorsOf(installation, order)).toBe("succeeded");
      expect(await verdict({ [name]: saga.done })).toEqual([]);
      await giveBack(name, "done");
    });

    test("every step may be carried out twice", async () => {
      const twice: Perform = async (ctx, phase, perform) => {
        await perform(ctx, phase);
        return perform(ctx, phase);
      };
      expect(await tampered("twice", twice, "succeeded", saga.done)).toEqual([]);
      expect(await verdict({})).toEqual([]);
    });

    test("a failure at any step, before or after its work, leaves a clean world", async () => {
      const steps = await stepIds();
      const cases = steps.flatMap(({ id }) => (["before", "after"] as const).map((at) => ({ id, at })));
      const problems = await inTurns(cases, ({ id, at }) => tampered(`${at} ${id}`, failAt(id, at), failedOutcome, saga.undone));
      expect(problems.flat()).toEqual([]);
      expect(cases).toHaveLength(steps.length * 2);
      expect(await verdict({})).toEqual([]);
    });

    test("undoing twice is undoing once", async () => {
      const steps = await stepIds();
      const last = steps.at(-1)!.id;
      const undoneTwice: Perform = async (ctx, phase, perform) => {
        if (phase === "undo") await perform(ctx, phase);
        return failAt(last, "after")(ctx, phase, perform);
      };
      expect(await tampered("undo twice", undoneTwice, failedOutcome, saga.undone)).toEqual([]);
      expect(await verdict({})).toEqual([]);
    });

    test("an answer that is lost after the work was done changes nothing", async () => {
      const first = await prepare();
      const prepared = (await installation.simDump()).calls;
      expect((await run(process.name, change(first))).outcome).toBe("succeeded");
      const after = (await installation.simDump()).calls;
      const calls = Object.entries(after).flatMap(([key, count]) => {
        const [scope = "", operation = ""] = key.split("/");
        return Array.from({ length: count - (prepared[key] ?? 0) }, (_, index) => ({ endpoint: scope, operation, nth: index + 1 }));
      });
      expect(calls.length).toBeGreaterThan(0);
      await giveBack(first, "done");
      const problems: string[] = [];
      for (const call of calls) {
        const name = await prepare();
        await installation.sim.faultAdd({ ...call, loseAnswer: true });
        const { outcome, order } = await run(process.name, change(name));
        await installation.sim.faultClear();
        const label = `answer ${call.nth} of ${call.endpoint}/${call.operation} lost`;
        if (outcome !== "succeeded") problems.push(`${label}: ended ${outcome}: ${await errorsOf(installation, order)}`);
        const wrong = await verdict({ [name]: saga.done });
        problems.push(...wrong.map((problem) => `${label}: ${problem}`));
        if (wrong.length === 0 && outcome === "succeeded") await giveBack(name, "done");
      }
      expect(problems).toEqual([]);
    });
  });
}

/** Fails a step for good, either instead of its work or right after it. */
export function failAt(stepId: string, at: "before" | "after"): Perform {
  return async (ctx, phase, perform) => {
    const failing = phase === "do" && ctx.stepId === stepId;
    if (failing && at === "before") throw new AppError("endpoint_refused", "the test refuses");
    const result = await perform(ctx, phase);
    if (failing) throw new AppError("endpoint_refused", "the test refuses after the work was done");
    return result;
  };
}

async function breakMachines(installation: Installation, vapp: string): Promise<void> {
  const machines = await installation.sql<{ endpoint: string; external_name: string }>(
    `select e.name as endpoint, m.external_name from machine m join endpoint e on e.id = m.endpoint_id join vapp v on v.id = m.vapp_id
     where v.name = $1 and m.released_at is null order by m.name`,
    [vapp],
  );
  const [first, second] = machines;
  await installation.sim.machineVanish(first!.endpoint, first!.external_name);
  await installation.sim.machineKill(second!.endpoint, second!.external_name);
}

async function errorsOf(installation: Installation, order: OrderView): Promise<string> {
  const steps = await installation.sql<{ step_id: string; state: string; error: object | null }>(
    `select step_id, state, error from run_step where run_id = $1 and error is not null`,
    [parseId("run", order.run)],
  );
  return JSON.stringify(steps);
}

/** Runs all with bounded concurrency, in order of their start. */
export async function inTurns<T, R>(items: readonly T[], body: (item: T) => Promise<R>, width = concurrency): Promise<R[]> {
  const results: R[] = [];
  let next = 0;
  const worker = async () => {
    for (let index = next++; index < items.length; index = next++) results[index] = await body(items[index]!);
  };
  await Promise.all(Array.from({ length: width }, worker));
  return results;
}
