/**
 * kill -9 of the control plane at every fault point of every change of a vApp that is there, of its undoing where it undoes itself, and of
 * the failover example before and after its fence, on the simulated site. Two sites side by side: one core starts control planes while the
 * other carries out steps.
 *
 * All of it is ten minutes: `STRATIFORM_CHAOS=all`. The gate takes every point of three cases, and of all others points by lot;
 * `STRATIFORM_CHAOS_SEED=n` repeats what it printed.
 */
import { afterAll, beforeAll, expect, test } from "vitest";
import { chaosCases, processOf, type ChaosCase } from "../support/chaos-cases.ts";
import { processes } from "../support/chaos-processes.ts";
import { untilHealed } from "../support/chaos-matrix.ts";
import { pointsOf } from "../support/chaos-points.ts";
import type { ControlProcess } from "../support/chaos-process.ts";
import { chaosSeed, sampleOf } from "../support/chaos-sample.ts";
import { killThroughout } from "../support/chaos-throughout.ts";
import { startInstallation, type Installation } from "../support/installation.ts";
import { type Expected, seenInSim, worldProblems } from "../support/world-verdict.ts";

const width = 2;
const limitMs = 600_000;
/** A successor in the same home knows its predecessor dead by its pid; nothing here waits for a heartbeat to run out, nor should one. */
const ttlMs = 30_000;
/** Steps side by side pass a point too early; the next run begins with it. */
const runsMax = 8;

/** What the gate kills at every point: a kill costs one to two seconds and a case has up to a hundred points. */
const complete = ["restart", "snapshot", "resize"];
/** Points of every other case, and of its undoing. */
const sampleSize = 3;
const isAll = process.env["STRATIFORM_CHAOS"] === "all";
const seed = chaosSeed();

const installations: Installation[] = [];
beforeAll(async () => {
  if (!isAll) process.stdout.write(`STRATIFORM_CHAOS_SEED=${seed} repeats the choice of points\n`);
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

interface Matrix {
  readonly name: string;
  readonly action: string;
  readonly one: ChaosCase;
  readonly phase: "do" | "undo";
  readonly outcome: string;
  readonly expected: Expected;
  /** How many points of it. */
  readonly kills: number;
}

/** What a case is killed during: itself, and its undoing. */
function matricesOf(name: string): Matrix[] {
  const one = chaosCases[name]!;
  const action = processOf(name);
  const kills = isAll || complete.includes(name) ? Infinity : sampleSize;
  const done: Matrix = { name, action, one, phase: "do", outcome: "succeeded", expected: one.done ?? "running", kills };
  if (one.undone === undefined) return [done];
  const undone: Matrix = {
    ...done,
    name: `${name} undone`,
    action: `${action}-undone`,
    phase: "undo",
    outcome: "compensated",
    expected: one.undone,
  };
  return [done, undone];
}

/** Two side by side: a change and its undoing, or two that only go forward. */
function sideBySide(): Matrix[][] {
  const all = Object.keys(chaosCases).map(matricesOf);
  const forward = all.flatMap((own) => (own.length === 1 ? own : []));
  const pairs = forward.flatMap((one, index) => (index % width === 0 ? [[one, ...forward.slice(index + 1, index + width)]] : []));
  return [...all.filter((own) => own.length > 1), ...pairs];
}

async function carryOut(installation: Installation, { name, action, one, phase, outcome, expected, kills }: Matrix): Promise<string[]> {
  const startedAt = Date.now();
  const verdict = await killThroughout({
    points: async (vapp) => sampleOf(pointsOf(await installation.plan(action, { vapp, input: one.input }), phase), kills, seed, name),
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
    ...(one.heals === true ? { settle: (vapp: string) => untilHealed(installation.sql, vapp, 30_000) } : {}),
  });
  const { hits, points, runs } = verdict;
  const seconds = Math.round((Date.now() - startedAt) / 1_000);
  process.stdout.write(`${name}: ${hits.length} kills at ${points.length} points in ${runs} runs, ${seconds} s\n`);
  const missed = points.filter((point) => !hits.includes(point));
  return [...verdict.problems, ...missed.map((point) => `${point} was not hit in ${runs} runs`)].map((problem) => `${name}: ${problem}`);
}

test.each(sideBySide().map((pair) => ({ pair, names: pair.map(({ name }) => name).join(", ") })))(
  "killed anywhere, it ends as it must: $names",
  { timeout: limitMs },
  async ({ pair }) => {
    const problems = await Promise.all(pair.map((matrix, lane) => carryOut(installations[lane]!, matrix)));
    expect(problems.flat()).toEqual([]);
  },
);
