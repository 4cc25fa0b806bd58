/** I6 as the failover example meets it: what runs may only be replaced when it is proven stopped, and what a person says is on record. */
import { afterAll, beforeAll, expect, test } from "vitest";
import { parseId } from "#domain/id.ts";
import type { OrderView, RunView } from "#domain/order.ts";
import type { ProcessDefinition } from "#process/contract.ts";
import { cancelRun, decideRun, showRun } from "#app/run.ts";
import { failover } from "../../examples/processes/failover.ts";
import { startInstallation, type Installation } from "../support/installation.ts";
import { seenInSim, worldProblems, type Expected } from "../support/world-verdict.ts";

let installation: Installation;
beforeAll(async () => {
  installation = await startInstallation({ processes: [failover as ProcessDefinition<unknown>] });
});
afterAll(() => installation.close());

const input = { tier: "node", parameter: "lead" };

async function run(action: string, change: Parameters<Installation["order"]>[1]): Promise<string> {
  return installation.waitFor(await installation.order(action, change));
}

async function leaderOf(vapp: string): Promise<string> {
  const [row] = await installation.sql<{ external_name: string }>(
    `select m.external_name from machine m join vapp v on v.id = m.vapp_id where v.name = $1 and m.name = 'node-0'`,
    [vapp],
  );
  return row!.external_name;
}

/** A vApp with a leader and a follower. */
async function pair(name: string): Promise<void> {
  expect(await run("deploy", { input: { offering: "solo", name, parameters: { nodes: 2 } } })).toBe("succeeded");
}

/** A failover that waits: the endpoint answers for everything but whether the old leader is stopped. */
async function waiting(name: string): Promise<{ order: OrderView; view: RunView }> {
  await pair(name);
  const leader = await leaderOf(name);
  for (const operation of ["machineStop", "machineObserve"])
    await installation.sim.faultAdd({ operation, name: leader, fail: "endpoint_unreachable", forever: true });
  const order = await installation.order("failover", { vapp: name, input });
  await expect.poll(async () => fenceOf(await showRun(installation.ctx, order.run)).waiting, { timeout: 20_000 }).not.toBeNull();
  return { order, view: await showRun(installation.ctx, order.run) };
}

function fenceOf(view: RunView): RunView["steps"][number] {
  return view.steps.find(({ kind }) => kind === "machine.fence")!;
}

async function proofOf(order: OrderView): Promise<unknown> {
  const [row] = await installation.sql<{ output: unknown }>(
    `select output from run_journal where run_id = $1 and step_id = 'machine.fence:node-0' and type = 'step' and phase = 'do'`,
    [parseId("run", order.run)],
  );
  return row?.output;
}

async function roles(vapp: string): Promise<unknown> {
  const [row] = await installation.sql<{ lead: number | null }>(`select (parameters->>'lead')::int as lead from vapp where name = $1`, [
    vapp,
  ]);
  return row!.lead ?? 0;
}

/** Steps that a follower would have learned by that it leads. */
async function promotions(order: OrderView): Promise<unknown[]> {
  return installation.sql(`select step_id from run_journal where run_id = $1 and step_id like 'context.sync:%'`, [
    parseId("run", order.run),
  ]);
}

async function judge(name: string, expected: Expected): Promise<string[]> {
  return worldProblems(installation.sql, seenInSim(await installation.simDump()), { [name]: expected });
}

test("a leader that can be stopped is proven stopped, a follower leads, and repair brings the old one back", async () => {
  await pair("clean");
  const order = await installation.order("failover", { vapp: "clean", input });
  expect(await installation.waitFor(order)).toBe("succeeded");
  expect(await proofOf(order)).toMatchObject({ proof: "observed", power: "stopped" });
  expect(await roles("clean")).toBe(1);
  expect(await run("repair", { vapp: "clean" })).toBe("succeeded");
  expect(await judge("clean", "running")).toEqual([]);
});

test("an endpoint that does not answer is waited for, with a reason, and asked again when it is back", async () => {
  const { order, view } = await waiting("patient");
  expect(view.state).toBe("waiting");
  expect(fenceOf(view).waiting).toMatch(/^node-0 may still run: a does not answer\./);
  expect(await promotions(order)).toEqual([]);
  await installation.sim.faultClear();
  expect(await installation.waitFor(order)).toBe("succeeded");
  expect(await proofOf(order)).toMatchObject({ proof: "observed", power: "stopped" });
  expect(await roles("patient")).toBe(1);
  expect(await run("repair", { vapp: "patient" })).toBe("succeeded");
  expect(await judge("patient", "running")).toEqual([]);
});

test("a person's word goes on record, and the run goes on", async () => {
  const { order } = await waiting("confirmed");
  const reason = "I pulled its plug";
  await installation.sim.machineKill("a", await leaderOf("confirmed"));
  await decideRun(installation.ctx, { run: order.run, decision: "confirm", reason });
  expect(await installation.waitFor(order)).toBe("succeeded");
  expect(await proofOf(order)).toEqual({ proof: "decision", by: installation.ctx.actor.name, reason });
  expect(fenceOf(await showRun(installation.ctx, order.run)).decision).toMatchObject({ decision: "confirm", reason });
  const audit = await installation.sql<{ detail: unknown }>(`select to_jsonb(a) as detail from audit a where a.action = 'run.decide'`);
  expect(JSON.stringify(audit)).toContain(reason);
  expect(await roles("confirmed")).toBe(1);
  await expect(decideRun(installation.ctx, { run: order.run, decision: "refuse", reason })).rejects.toMatchObject({ code: "conflict" });
  await installation.sim.faultClear();
  expect(await run("repair", { vapp: "confirmed" })).toBe("succeeded");
  expect(await judge("confirmed", "running")).toEqual([]);
});

test.each(["refuse", "cancel"])("%s while it waits: everything is as before and nobody was promoted", async (how) => {
  const name = `kept-${how}`;
  const { order } = await waiting(name);
  if (how === "cancel") await cancelRun(installation.ctx, order.run);
  else await decideRun(installation.ctx, { run: order.run, decision: "refuse", reason: "it still serves" });
  expect(await installation.waitFor(order)).toBe("compensated");
  expect(await promotions(order)).toEqual([]);
  expect(await roles(name)).toBe(0);
  await installation.sim.faultClear();
  expect(await judge(name, "running")).toEqual([]);
});

test("after the fence nothing is taken back: a promotion that fails leaves the new parameter, and repair goes on from there", async () => {
  await pair("forward");
  const order = await (async () => {
    const follower = (await leaderOf("forward")).replace(/node-0$/, "node-1");
    await installation.sim.faultAdd({ operation: "channelRun", name: follower, fail: "endpoint_refused", forever: true });
    return installation.order("failover", { vapp: "forward", input });
  })();
  expect(await installation.waitFor(order)).toBe("failed");
  expect(await roles("forward")).toBe(1);
  const undone = await installation.sql(`select step_id from run_journal where run_id = $1 and phase = 'undo'`, [
    parseId("run", order.run),
  ]);
  expect(undone).toEqual([]);
  await installation.sim.faultClear();
  expect(await run("repair", { vapp: "forward" })).toBe("succeeded");
  expect(await judge("forward", "running")).toEqual([]);
});
