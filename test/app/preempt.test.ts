/** A delete comes at every moment of every other process, twice at once, and while that is being undone: one is accepted and nothing is left. */
import { afterAll, beforeAll, expect, test } from "vitest";
import type { OrderView } from "#domain/order.ts";
import { AppError } from "#domain/error.ts";
import { startInstallation, type Installation } from "../support/installation.ts";
import { inTurns, Tampers } from "../support/saga-suite.ts";
import { quotaProblems, seenInSim, worldProblems } from "../support/world-verdict.ts";

const tampers = new Tampers();
let installation: Installation;
beforeAll(async () => {
  installation = await startInstallation({ work: (work, platform) => tampers.wrap(work, platform) });
});
afterAll(() => installation.close());

let names = 0;

async function run(action: string, change: Parameters<Installation["order"]>[1]): Promise<string> {
  return installation.waitFor(await installation.order(action, change));
}

async function prepare(action: string): Promise<string> {
  const name = `p${(names += 1)}`;
  if (action === "deploy") return name;
  expect(await run("deploy", { input: { offering: "tiny", name } })).toBe("succeeded");
  if (action === "start") expect(await run("stop", { vapp: name, input: { graceSeconds: 0 } })).toBe("succeeded");
  return name;
}

function change(action: string, name: string) {
  return action === "deploy" ? { input: { offering: "tiny", name } } : { vapp: name };
}

async function deletedAt(action: string, stepId: string, phase: "do" | "undo", at: "before" | "after"): Promise<string[]> {
  const name = await prepare(action);
  const label = `${action}, ${phase} ${stepId}, ${at}`;
  const orders: Promise<PromiseSettledResult<OrderView>[]>[] = [];
  const strike = () => orders.push(Promise.allSettled([1, 2].map(() => installation.order("purge", { vapp: name }))));
  const last = (await installation.plan(action, change(action, name))).steps.at(-1)!.id;
  tampers.set(name, async (ctx, own, perform) => {
    const here = ctx.stepId === stepId && own === phase && orders.length === 0;
    if (here && at === "before") strike();
    const result = await perform(ctx, own);
    if (here && at === "after") strike();
    if (phase === "undo" && own === "do" && ctx.stepId === last) throw new AppError("endpoint_refused", "the test refuses");
    return result;
  });
  const order = await installation.order(action, change(action, name));
  const first = await installation.waitFor(order);
  const outcomes = (await Promise.all(orders)).flat();
  const accepted = outcomes.flatMap((outcome) => (outcome.status === "fulfilled" ? [outcome.value] : []));
  const problems: string[] = [];
  const refused = outcomes.flatMap((outcome) => (outcome.status === "rejected" ? [String(outcome.reason)] : []));
  // One that comes after the last undo may find nothing to delete any more.
  const tooLate = refused.length === outcomes.length && refused.every((reason) => reason.includes("there is no vApp"));
  if (accepted.length !== 1 && !(tooLate && first === "compensated"))
    problems.push(`${accepted.length} of ${outcomes.length} deletes accepted, ${action} ${first}: ${refused.join("; ")}`);
  for (const one of accepted) {
    const outcome = await installation.waitFor(one);
    if (outcome !== "succeeded") problems.push(`the delete ended ${outcome}`);
  }
  const world = await worldProblems(installation.sql, seenInSim(await installation.simDump()), { [name]: "gone" });
  problems.push(...world.filter((problem) => problem.startsWith(`${name} (`) || problem.startsWith(`vApp ${name} `)));
  return problems.map((problem) => `${label}: ${problem}`);
}

test.each(["deploy", "start", "stop", "repair"])("a delete at any moment of %s", async (action) => {
  const name = await prepare(action);
  const { steps } = await installation.plan(action, change(action, name));
  const cases = steps.flatMap(({ id, undoable }) => [
    ...(["before", "after"] as const).map((at) => ({ id, phase: "do" as const, at })),
    ...(undoable && action !== "repair" ? (["before", "after"] as const).map((at) => ({ id, phase: "undo" as const, at })) : []),
  ]);
  const problems = await inTurns(cases, ({ id, phase, at }) => deletedAt(action, id, phase, at));
  expect(problems.flat()).toEqual([]);
  expect(await quotaProblems(installation.sql)).toEqual([]);
  expect(await worldProblems(installation.sql, seenInSim(await installation.simDump()))).toEqual([]);
});
