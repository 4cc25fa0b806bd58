/**
 * kill -9 of the control plane at every fault point of every change of a vApp that is there, of its undoing where it undoes itself, and of
 * the failover example before and after its fence, on the simulated site. Two sites side by side: one core starts control planes while the
 * other carries out steps.
 */
import { afterAll, beforeAll, expect, test } from "vitest";
import type { PlanView } from "#domain/plan.ts";
import { faultPoints } from "#engine/fault.ts";
import { chaosCases, processOf, type ChaosCase } from "../support/chaos-cases.ts";
import { processes } from "../support/chaos-processes.ts";
import { untilEnded } from "../support/chaos-matrix.ts";
import type { ControlProcess } from "../support/chaos-process.ts";
import { killThroughout } from "../support/chaos-throughout.ts";
import { startInstallation, type Installation } from "../support/installation.ts";
import { type Expected, seenInSim, worldProblems } from "../support/world-verdict.ts";

const width = 2;
const limitMs = 600_000;
/** A successor in the same home knows its predecessor dead by its pid; nothing here waits for a heartbeat to run out, nor should one. */
const ttlMs = 30_000;
/** Steps side by side pass a point too early; the next run begins with it. */
const runsMax = 8;

const installations: Installation[] = [];
beforeAll(async () => {
  for (let index = 0; index < width; index++) installations.push(await startInstallation({ withEngine: false, processes }));
});
afterAll(async () => {
  for (const installation of installations) await installation.close();
});

async function run(installation: Installation, control: ControlProcess, request: object): Promise<void> {
  const order = await control.order(request);
  expect(await installation.waitFor(order), order.summary).toBe("succeeded");
}

async function prepare(installation: Installation, control: ControlProcess, name: string, { parameters, first }: ChaosCase): Promise<void> {
  await run(installation, control, { action: "deploy", input: { offering: "solo", name, parameters: parameters ?? {} } });
  for (const [action, input] of first ?? []) await run(installation, control, { action, vapp: name, input });
}

/** In the order in which a run passes them, as far as there is one. */
function pointsOf(plan: PlanView, phase: "do" | "undo"): string[] {
  const steps = faultPoints(phase === "undo" ? plan.steps.toReversed() : plan.steps).filter((point) => point.startsWith(`${phase}:`));
  return [...(phase === "do" ? ["run:enqueued", "run:begun"] : []), ...steps, "run:finishing", "run:finished"];
}

async function untilHealed(installation: Installation, name: string): Promise<void> {
  const isWell = async () => (await installation.sql(`select 1 from vapp where name = $1 and state = 'active'`, [name])).length === 1;
  await expect.poll(isWell, { timeout: 30_000, interval: 50 }).toBe(true);
  await untilEnded(installation.sql, 30_000);
}

interface Matrix {
  readonly name: string;
  readonly action: string;
  readonly one: ChaosCase;
  readonly phase: "do" | "undo";
  readonly outcome: string;
  readonly expected: Expected;
}

/** What a case is killed during: itself, and its undoing. */
function matricesOf(name: string): Matrix[] {
  const one = chaosCases[name]!;
  const action = processOf(name);
  const done: Matrix = { name, action, one, phase: "do", outcome: "succeeded", expected: one.done ?? "running" };
  if (one.undone === undefined) return [done];
  return [done, { name: `${name} undone`, action: `${action}-undone`, one, phase: "undo", outcome: "compensated", expected: one.undone }];
}

/**
 * What the gate has time for; `STRATIFORM_CHAOS=all` takes every case. A kill costs one to two seconds and a case has up to a hundred, so
 * all of them are a nightly's work.
 */
const gate = ["restart", "snapshot", "resize"];
const chosen = process.env["STRATIFORM_CHAOS"] === "all" ? Object.keys(chaosCases) : gate;

/** Two side by side: a change and its undoing, or two that only go forward. */
function sideBySide(): Matrix[][] {
  const all = chosen.map(matricesOf);
  const forward = all.flatMap((own) => (own.length === 1 ? own : []));
  const pairs = forward.flatMap((one, index) => (index % width === 0 ? [[one, ...forward.slice(index + 1, index + width)]] : []));
  return [...all.filter((own) => own.length > 1), ...pairs];
}

async function carryOut(installation: Installation, { name, action, one, phase, outcome, expected }: Matrix): Promise<string[]> {
  const verdict = await killThroughout({
    points: async (vapp) => pointsOf(await installation.plan(action, { vapp, input: one.input }), phase),
    prefix: `${name.replace(" ", "-")}-`,
    control: { url: installation.url, home: installation.home, ttlMs },
    sql: installation.sql,
    runs: runsMax,
    prepare: (control, vapp) => prepare(installation, control, vapp, one),
    request: (vapp) => ({ action, vapp, input: one.input }),
    outcome,
    expected,
    judge: async (wanted) => worldProblems(installation.sql, seenInSim(await installation.simDump()), wanted),
    patienceMs: 60_000,
    ...(one.heals === true ? { settle: (vapp: string) => untilHealed(installation, vapp) } : {}),
  });
  const missed = verdict.points.filter((point) => !verdict.hits.includes(point));
  return [...verdict.problems, ...missed.map((point) => `${point} was not hit in ${verdict.runs} runs`)].map(
    (problem) => `${name}: ${problem}`,
  );
}

test.each(sideBySide().map((pair) => ({ pair, names: pair.map(({ name }) => name).join(", ") })))(
  "killed anywhere, it ends as it must: $names",
  { timeout: limitMs },
  async ({ pair }) => {
    const problems = await Promise.all(pair.map((matrix, lane) => carryOut(installations[lane]!, matrix)));
    expect(problems.flat()).toEqual([]);
  },
);
