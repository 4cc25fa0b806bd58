/**
 * I6 in spite of kill -9: a failover whose endpoint does not say that the old leader is stopped waits, whoever carries it out and wherever
 * that one dies. Nobody is told to lead before the proof, and an answer or a person's word counts for the next control plane too.
 */
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from "vitest";
import { formatId, parseId } from "#domain/id.ts";
import type { RunView } from "#domain/order.ts";
import { stepFault, stepFaults, waitFaults } from "#engine/fault.ts";
import { untilEnded, untilHealed } from "../support/chaos-matrix.ts";
import { within, type ControlOptions, type ControlProcess } from "../support/chaos-process.ts";
import { processes } from "../support/chaos-processes.ts";
import { Spare } from "../support/chaos-throughout.ts";
import { startInstallation, type Installation } from "../support/installation.ts";
import { seenInSim, worldProblems } from "../support/world-verdict.ts";

let installation: Installation;
let options: ControlOptions;
beforeAll(async () => {
  installation = await startInstallation({ withEngine: false, processes });
  options = { url: installation.url, home: installation.home, ttlMs: 30_000 };
});
afterAll(() => installation.close());

let spare: Spare;
let control: ControlProcess;
let kills = 0;
beforeEach(() => {
  kills = 0;
  spare = new Spare(options);
  control = spare.take();
});
afterEach(async () => {
  await control.kill();
  await spare.end();
  await installation.sim.faultClear();
});

const fence = "machine.fence:node-0";
const promote = "context.sync:node-1";
const pointsOf = (step: string) => stepFaults.map((point) => stepFault("do", step, point));
/** A step that waits looks again after fifteen seconds. */
const limitMs = 45_000;
const testLimitMs = 180_000;

/** The next control plane, told where to die; that may be before it serves. */
async function succeed(point?: string): Promise<void> {
  control = spare.take();
  if (point !== undefined) await control.arm(point);
  await control.go().catch((error: unknown) => {
    if (point === undefined) throw error;
  });
}

async function dies(point: string): Promise<void> {
  const how = await within(control.exited, limitMs, `the process to die at ${point}; it says ${control.stderr()}`);
  expect(how, point).toBe("SIGKILL");
  kills += 1;
}

/** One control plane after the other; each goes on where its predecessor died. The first one lives already, unless `isFirstDead`. */
async function dieAtEach(points: readonly string[], isFirstDead: boolean): Promise<void> {
  for (const [index, point] of points.entries()) {
    if (index > 0 || isFirstDead) await succeed(point);
    await dies(point);
  }
}

interface Failover {
  readonly name: string;
  readonly run: string;
  readonly leader: string;
  readonly follower: string;
  /** What the follower was last told before. */
  readonly told: string | null;
}

/** A failover from a leader whose endpoint answers for everything but that it is stopped. The control plane is armed when it is ordered. */
async function begin(name: string, point: string): Promise<Failover> {
  await control.go();
  const deployed = await control.order({ action: "deploy", input: { offering: "solo", name, parameters: { nodes: 2 } } });
  expect(await installation.waitFor(deployed)).toBe("succeeded");
  const machines = await installation.sql<{ external_name: string }>(
    `select m.external_name from machine m join vapp v on v.id = m.vapp_id where v.name = $1 order by m.name`,
    [name],
  );
  const [leader, follower] = machines.map(({ external_name }) => external_name) as [string, string];
  for (const operation of ["machineStop", "machineObserve"])
    await installation.sim.faultAdd({ operation, name: leader, fail: "endpoint_unreachable", forever: true });
  const told = (await atSite(follower)).contextDigest;
  await control.arm(point);
  // The answer may be lost with the process; what counts is what was committed.
  void control.order({ action: "failover", vapp: name, input: { tier: "node", parameter: "lead" } }).catch(() => {});
  const runs = () =>
    installation.sql<{ run_id: string }>(
      `select o.run_id from "order" o join vapp v on v.id = o.vapp_id where v.name = $1 and o.action = 'failover'`,
      [name],
    );
  await expect.poll(runs, { timeout: limitMs }).toHaveLength(1);
  return { name, run: formatId("run", (await runs())[0]!.run_id), leader, follower, told };
}

async function atSite(machine: string) {
  return (await installation.simDump()).endpoints["a"]!.machines.find(({ name }) => name === machine)!;
}

/** Nobody was told to lead, and the old leader runs on. */
async function expectUntouched({ name, run, leader, follower, told }: Failover): Promise<void> {
  expect((await atSite(follower)).contextDigest).toBe(told);
  expect((await atSite(leader)).power).toBe("running");
  expect(await settled(run)).toEqual([]);
  const [vapp] = await installation.sql<{ state: string; is_held: boolean }>(
    `select state, run_id is not null as is_held from vapp where name = $1`,
    [name],
  );
  expect(vapp).toEqual({ state: "changing", is_held: true });
}

/** Steps with an outcome, in the order they got it. */
async function settled(run: string): Promise<{ step_id: string; outcome: string; output: unknown }[]> {
  return installation.sql(`select step_id, outcome, output from run_journal where run_id = $1 and type = 'step' order by seq`, [
    parseId("run", run),
  ]);
}

async function viewOf(run: string): Promise<RunView> {
  const { status, body } = await control.call("GET", `/v1/runs/${run}`);
  expect(status, JSON.stringify(body)).toBe(200);
  return body as RunView;
}

const notAnswering = /^node-0 may still run: a does not answer\./;

/** What the control plane that serves now says that the fence waits for. */
async function waitingOf({ run }: Failover): Promise<string | null | undefined> {
  return (await viewOf(run)).steps.find(({ id }) => id === fence)?.waiting;
}

async function expectWaiting(failover: Failover): Promise<void> {
  await expect.poll(() => waitingOf(failover), { timeout: limitMs }).toMatch(notAnswering);
  await expectUntouched(failover);
}

/** Until a control plane takes the word: for the moment in which a step looks again by itself, none waits. */
async function decide({ run }: Failover, decision: "confirm" | "refuse", reason: string): Promise<void> {
  const say = async () => (await control.call("POST", `/v1/runs/${run}/decisions`, { decision, reason })).status;
  await expect.poll(say, { timeout: limitMs }).toBe(200);
}

/** Ordered, killed while it waits, and waiting at a next control plane, which is armed. */
async function waitingAt(name: string, point: string): Promise<Failover> {
  const failover = await begin(name, "run:suspended");
  await dies("run:suspended");
  await expectUntouched(failover);
  await succeed();
  await expectWaiting(failover);
  await control.arm(point);
  return failover;
}

/** Whoever carried it out last: the order ended like this, the world is as it must be, and what is left to repair is repaired. */
async function expectEnd({ name, run, leader }: Failover, outcome: string, lead: number): Promise<void> {
  await untilEnded(installation.sql, limitMs);
  expect((await viewOf(run)).state).toBe(outcome);
  const [row] = await installation.sql<{ lead: number }>(
    `select coalesce((parameters->>'lead')::int, 0) as lead from vapp where name = $1`,
    [name],
  );
  expect(row!.lead).toBe(lead);
  // Of a leader that a person says is off nothing is known until its endpoint is looked at again.
  await expect.poll(async () => (await atSite(leader)).power, { timeout: limitMs }).toBe("running");
  await untilHealed(installation.sql, name, limitMs);
  expect(await worldProblems(installation.sql, seenInSim(await installation.simDump()), { [name]: "running" })).toEqual([]);
  expect(await control.stop(), control.stderr()).toBe("0");
  process.stdout.write(`${name}: ${kills} kills\n`);
}

test(
  "killed anywhere while it fences and waits: it still waits, and goes on when the endpoint answers",
  { timeout: testLimitMs },
  async () => {
    const points = ["run:enqueued", "run:begun", ...pointsOf(fence), ...waitFaults.map((at) => `run:${at}`)];
    const failover = await begin("patient", points[0]!);
    for (const [index, point] of points.entries()) {
      if (index > 0) await succeed(point);
      await dies(point);
      await expectUntouched(failover);
    }
    await succeed();
    await expectWaiting(failover);
    const [before, ...after] = [...pointsOf(fence), ...pointsOf(promote), "run:finishing", "run:finished"];
    await control.arm(before!);
    await installation.sim.faultClear();
    await dies(before!);
    await dieAtEach(after, true);
    await succeed();
    await expectEnd(failover, "succeeded", 1);
    const [first, second] = await settled(failover.run);
    expect(first).toMatchObject({ step_id: fence, outcome: "ok", output: { proof: "observed", power: "stopped" } });
    expect(second).toMatchObject({ step_id: promote, outcome: "ok" });
  },
);

test("site and control plane die before it fences: it waits, and goes on when both are back", { timeout: testLimitMs }, async () => {
  const [before, , , committed] = pointsOf(fence) as [string, string, string, string];
  const failover = await begin("dark", before);
  await dies(before);
  await installation.simKill();
  await succeed(committed);
  await dies(committed);
  await succeed();
  await expect.poll(() => waitingOf(failover), { timeout: limitMs }).toMatch(notAnswering);
  await control.kill();
  await installation.simStart();
  await installation.sim.faultClear();
  await expectUntouched(failover);
  await succeed();
  await expectEnd(failover, "succeeded", 1);
  expect((await settled(failover.run))[0]).toMatchObject({ step_id: fence, output: { proof: "observed", power: "stopped" } });
});

test("a person's word is given to the next control plane, which dies, and counts for all after it", { timeout: testLimitMs }, async () => {
  const points = [...pointsOf(fence), stepFault("do", promote, "before")];
  const failover = await waitingAt("confirmed", points[0]!);
  const reason = "I pulled its plug";
  await installation.sim.machineKill("a", failover.leader);
  await decide(failover, "confirm", reason).catch(() => {}); // The answer may be lost with the process.
  await dieAtEach(points, false);
  await installation.sim.faultClear();
  await succeed();
  await expectEnd(failover, "succeeded", 1);
  const [first, second] = await settled(failover.run);
  expect(first).toMatchObject({ step_id: fence, outcome: "ok", output: { proof: "decision", reason } });
  expect(second).toMatchObject({ step_id: promote, outcome: "ok" });
  const words = await installation.sql(`select decision, reason from decision where run_id = $1`, [parseId("run", failover.run)]);
  expect(words).toEqual([{ decision: "confirm", reason }]);
});

test.each(["refuse", "cancel"] as const)(
  "%s is said to the next control plane, which dies: all is as before",
  { timeout: testLimitMs },
  async (how) => {
    const points = [...(how === "refuse" ? pointsOf(fence) : []), "run:finishing", "run:finished"];
    const failover = await waitingAt(how, points[0]!);
    if (how === "refuse") await decide(failover, "refuse", "it still serves").catch(() => {});
    else await control.call("POST", `/v1/runs/${failover.run}/cancel`).catch(() => {});
    await dieAtEach(points, false);
    expect((await atSite(failover.follower)).contextDigest).toBe(failover.told);
    expect((await atSite(failover.leader)).power).toBe("running");
    await installation.sim.faultClear();
    await succeed();
    await expectEnd(failover, "compensated", 0);
  },
);
