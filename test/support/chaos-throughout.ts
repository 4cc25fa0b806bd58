/**
 * Kills along the way: one run is killed at one fault point after the other, each time in a new process that goes on with it, until it
 * has ended in spite of everything. Where side by side steps pass a point too early, the next run begins with that point. As few runs as
 * possible, because on a real site every run boots a machine; every point is hit, and each hit is a process that really died of SIGKILL.
 */
import { stuck } from "./chaos-matrix.ts";
import type { Sql } from "./sql.ts";
import { startControl, within, type ControlOptions, type ControlProcess } from "./chaos-process.ts";
import type { Expected } from "./world-verdict.ts";

export interface Throughout {
  /** In the order in which a run passes them; asked for once, when the first vApp is in the state before. */
  points(name: string): Promise<readonly string[]>;
  /** Each run takes a vApp of its own, named by this and the number of the run; or all take one. */
  readonly prefix: string;
  readonly vapp?: string;
  readonly control: ControlOptions;
  readonly sql: Sql;
  /** Runs at most: more means that points are not reached at all. */
  readonly runs: number;
  /** Brings a vApp into the state before. */
  prepare(control: ControlProcess, name: string): Promise<void>;
  request(name: string): object;
  readonly outcome: string;
  readonly expected: Expected;
  judge(expected: Readonly<Record<string, Expected>>): Promise<string[]>;
  readonly patienceMs: number;
  /** What automation still does after the order, before the control plane is closed and the world judged. */
  settle?(name: string): Promise<void>;
}

export interface Verdict {
  readonly problems: readonly string[];
  readonly points: readonly string[];
  /** In the order they were hit. */
  readonly hits: readonly string[];
  readonly runs: number;
}

const lastDeathMs = 5_000;

interface Latest {
  readonly id: string;
  readonly state: string;
  readonly action: string;
}

export async function killThroughout(chaos: Throughout): Promise<Verdict> {
  const hits: string[] = [];
  const problems: string[] = [];
  const points: string[] = [];
  let runs = 0;
  while ((runs === 0 || hits.length < points.length) && runs < chaos.runs) {
    const name = chaos.vapp ?? `${chaos.prefix}${runs}`;
    runs += 1;
    problems.push(...(await oneRun(chaos, name, points, hits)));
    problems.push(...(await chaos.judge({ [name]: chaos.expected })).map((problem) => `${name}: ${problem}`));
  }
  return { problems, points, hits, runs };
}

/** A process that has loaded and waits, so that the successor of a killed one begins at once. */
export class Spare {
  readonly #options: ControlOptions;
  #waiting: ControlProcess;
  constructor(options: ControlOptions) {
    this.#options = options;
    this.#waiting = startControl(options);
  }
  take(): ControlProcess {
    const taken = this.#waiting;
    this.#waiting = startControl(this.#options);
    return taken;
  }
  async end(): Promise<void> {
    await this.#waiting.kill();
  }
}

async function oneRun(chaos: Throughout, name: string, points: string[], hits: string[]): Promise<string[]> {
  const spare = new Spare(chaos.control);
  let control = spare.take();
  try {
    await control.go();
    await chaos.prepare(control, name);
    if (points.length === 0) points.push(...(await chaos.points(name)));
    const before = await latestOrder(chaos, name);
    const missed = new Set<string>();
    let isOrdered = false;
    for (;;) {
      const order = await latestOrder(chaos, name);
      const run = order?.id === before?.id ? undefined : order;
      const point = await nextPoint(chaos, points, run, new Set([...hits, ...missed]));
      if (point === undefined) break;
      control = await armed(spare, control, point, isOrdered);
      if (!isOrdered) void control.order(chaos.request(name)).catch(() => {});
      isOrdered = true;
      if (await diedBeforeEnd(chaos, control, name, before?.id, point)) hits.push(point);
      else missed.add(point);
    }
    if (await isDead(control)) {
      control = spare.take();
      await control.go();
    }
    await ended(chaos, name, before?.id);
    const order = await latestOrder(chaos, name);
    const problems = order?.state === chaos.outcome ? [] : [`${name} ended ${order?.state}, not ${chaos.outcome}; ${control.stderr()}`];
    await chaos.settle?.(name);
    const closed = await control.stop();
    if (closed !== "0") problems.push(`the control plane ended with ${closed}: ${control.stderr()}`);
    return problems;
  } finally {
    await control.kill();
    await spare.end();
  }
}

/** A living process is armed at once; a dead one has a successor that is armed before it looks at what is to be done. */
async function armed(spare: Spare, control: ControlProcess, point: string, isOrdered: boolean): Promise<ControlProcess> {
  if (!(await isDead(control))) {
    await control.arm(point);
    return control;
  }
  const next = spare.take();
  await next.arm(point);
  // It may die before it is ready: that is what it is for.
  const going = next.go().catch(() => {});
  if (!isOrdered) await going;
  return next;
}

/** The first point not hit yet that this run can still pass; undefined when it has ended or can pass none. */
async function nextPoint(
  chaos: Throughout,
  points: readonly string[],
  run: Latest | undefined,
  done: ReadonlySet<string>,
): Promise<string | undefined> {
  const open = points.filter((point) => !done.has(point));
  if (run === undefined) return open[0];
  const rows = await chaos.sql<{ finished: boolean }>(
    `select r.finished_at is not null as finished from run r join "order" o on o.run_id = r.id where o.id = $1`,
    [run.id],
  );
  const settled = await chaos.sql<{ what: string }>(
    `select phase || ':' || step_id as what from run_journal j join "order" o on o.run_id = j.run_id where o.id = $1 and type = 'step'`,
    [run.id],
  );
  const passed = new Set(settled.map(({ what }) => what));
  if (rows[0]!.finished) return undefined;
  return open.find((point) => !passed.has(point.slice(0, point.lastIndexOf(":"))));
}

/** The vApp's latest order of the kind the process is killed during. */
async function latestOrder(chaos: Throughout, name: string): Promise<Latest | undefined> {
  const rows = await chaos.sql<Latest>(
    `select o.id, o.state, o.action from "order" o join vapp v on v.id = o.vapp_id where v.name = $1 and o.action = $2
     order by o.id desc limit 1`,
    [name, (chaos.request(name) as { action: string }).action],
  );
  return rows[0];
}

/** True when the process died; false when the run ended without it. */
async function diedBeforeEnd(
  chaos: Throughout,
  control: ControlProcess,
  name: string,
  before: string | undefined,
  point: string,
): Promise<boolean> {
  let isOver = false;
  const died = control.exited.then((how) => {
    isOver = true;
    if (how !== "SIGKILL") throw new Error(`the control plane ended with ${how}: ${control.stderr()}`);
    return true;
  });
  const watched = (async () => {
    while (!isOver) {
      const order = await latestOrder(chaos, name);
      if (order !== undefined && order.id !== before && order.state !== "running") break;
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
    // What is armed for the end of the run dies right after it, however long it takes the machine to say so.
    await new Promise((resolve) => setTimeout(resolve, point === "run:finished" ? lastDeathMs : 300));
    return isOver;
  })();
  try {
    return await within(Promise.race([died, watched]), chaos.patienceMs, `the process to die at ${point} or ${name} to end`);
  } catch (error) {
    isOver = true;
    throw new Error(`it says ${control.stderr()}; ${JSON.stringify(await stuck(chaos.sql))}`, { cause: error });
  }
}

async function isDead(control: ControlProcess): Promise<boolean> {
  return Promise.race([control.exited.then(() => true), new Promise<boolean>((resolve) => setTimeout(() => resolve(false), 0))]);
}

async function ended(chaos: Throughout, name: string, before: string | undefined): Promise<void> {
  const deadline = Date.now() + chaos.patienceMs;
  for (;;) {
    const order = await latestOrder(chaos, name);
    if (order !== undefined && order.id !== before && order.state !== "running") return;
    if (Date.now() > deadline)
      throw new Error(`the run of ${name} has not ended in ${chaos.patienceMs} ms: ${JSON.stringify(await stuck(chaos.sql))}`);
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}
