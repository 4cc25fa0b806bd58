/**
 * The kill matrix: for every named fault point one control-plane process that dies there by kill -9, each in a run of its own. Its
 * successor, unharmed, ends that run; the world is judged; then the successor is armed with the next point.
 */
import { expect } from "vitest";
import type { Sql } from "./sql.ts";
import { startControl, within, type ControlOptions, type ControlProcess } from "./chaos-process.ts";
import type { Expected } from "./world-verdict.ts";

export interface Matrix {
  readonly points: readonly string[];
  /** vApps are named by it and the number of the point. */
  readonly prefix: string;
  readonly control: ControlOptions;
  readonly sql: Sql;
  /** Brings a vApp of that name into the state before, with a process that is not armed yet. */
  prepare(control: ControlProcess, name: string): Promise<void>;
  /** The request whose run dies at the point. */
  request(name: string): object;
  /** How the order ends, and what the vApp is then. */
  readonly outcome: string;
  readonly expected: Expected;
  /** What is wrong with the world. */
  judge(expected: Readonly<Record<string, Expected>>): Promise<string[]>;
  /** How long a killed run may take until it has ended. */
  readonly patienceMs: number;
}

const deathLimitMs = 120_000;

/** Returns everything that was wrong, each sentence with its fault point; empty when all is well. */
export async function killAtEach(matrix: Matrix): Promise<string[]> {
  const problems: string[] = [];
  const died: string[] = [];
  let control = startControl(matrix.control);
  let before: { point: string; name: string } | undefined;
  try {
    for (const [index, point] of [...matrix.points, null].entries()) {
      await control.go();
      if (before !== undefined) problems.push(...(await judgeOne(matrix, before)));
      if (point === null) break;
      const name = `${matrix.prefix}${index}`;
      await matrix.prepare(control, name);
      const successor = startControl(matrix.control);
      await control.arm(point);
      // The answer may be lost with the process; what counts is what was committed.
      void control.order(matrix.request(name)).catch(() => {});
      const how = await within(control.exited, deathLimitMs, `the process to die at ${point}`).catch(() => "did not die");
      if (how === "SIGKILL") died.push(point);
      else problems.push(`${point}: ${how}; ${control.stderr()}`);
      await control.kill();
      before = { point, name };
      control = successor;
    }
    expect(died, "every point was hit").toEqual(matrix.points);
    expect(await control.stop(), control.stderr()).toBe("0");
  } finally {
    await control.kill();
  }
  return [...problems, ...(await matrix.judge({}))];
}

async function judgeOne(matrix: Matrix, { point, name }: { point: string; name: string }): Promise<string[]> {
  await untilEnded(matrix.sql, matrix.patienceMs);
  const orders = await matrix.sql<{ state: string; action: string; principal: string }>(
    `select o.state, o.action, p.name as principal from "order" o join vapp v on v.id = o.vapp_id join principal p on p.id = o.principal_id
     where v.name = $1 order by o.created_at desc`,
    [name],
  );
  const problems = await matrix.judge({ [name]: matrix.expected });
  if (orders[0]?.state !== matrix.outcome) problems.push(`the order ended ${orders[0]?.state}, not ${matrix.outcome}`);
  if (orders.some(({ principal }) => principal === "reconciler")) problems.push("the reconciler thought that something was broken");
  return problems.map((problem) => `${point}: ${problem}`);
}

/** What the tables say of runs that do not end: ours and DBOS's. */
export function stuck(sql: Sql): Promise<unknown[]> {
  return sql(
    `select r.id, r.state, r.segment, r.journal_seq, r.owner_process, w.workflow_uuid, w.status, w.executor_id, w.recovery_attempts, w.error,
       (select json_agg(json_build_object('step', s.step_id, 'state', s.state, 'error', s.error)) from run_step s where s.run_id = r.id and s.state not in ('ok', 'pending')) as steps
     from run r left join dbos.workflow_status w on w.workflow_uuid like r.id::text || '%' where r.finished_at is null`,
  );
}

/** Until no run is under way. */
export async function untilEnded(sql: Sql, limitMs: number): Promise<void> {
  const deadline = Date.now() + limitMs;
  for (;;) {
    const open = await sql<{ id: string }>(`select id from run where finished_at is null`).catch(() => [{ id: "database away" }]);
    if (open.length === 0) return;
    if (Date.now() > deadline) throw new Error(`not ended in ${limitMs} ms: ${JSON.stringify(await stuck(sql))}`);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

/** Until automation has repaired what an order left to be repaired. */
export async function untilHealed(sql: Sql, vapp: string, limitMs: number): Promise<void> {
  const isWell = async () => (await sql(`select 1 from vapp where name = $1 and state = 'active'`, [vapp])).length === 1;
  await expect.poll(isWell, { timeout: limitMs, interval: 50 }).toBe(true);
  await untilEnded(sql, limitMs);
}
