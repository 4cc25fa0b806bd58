/** Power changes that do not go their usual way: what runs is paid for, and nothing is taken away that was not asked for. */
import { afterAll, beforeAll, expect, test } from "vitest";
import { RepairReconciler, settleMs } from "#app/reconcilers/repair.ts";
import { removeOrphans } from "#app/reconcilers/orphan.ts";
import { showBill } from "#app/bill.ts";
import { showVapp } from "#app/vapp.ts";
import { AppError } from "#domain/error.ts";
import { startInstallation, type Installation } from "../support/installation.ts";
import { failAt, Tampers } from "../support/saga-suite.ts";
import { seenInSim, worldProblems, type Expected } from "../support/world-verdict.ts";

const tampers = new Tampers();
let installation: Installation;
beforeAll(async () => {
  installation = await startInstallation({ work: (work, platform) => tampers.wrap(work, platform) });
});
afterAll(() => installation.close());

async function run(action: string, change: Parameters<Installation["order"]>[1]) {
  return installation.waitFor(await installation.order(action, change));
}

async function problems(name: string, expected: Expected): Promise<string[]> {
  return worldProblems(installation.sql, seenInSim(await installation.simDump()), { [name]: expected });
}

function vapp(name: string) {
  return installation.sql<{ state: string; desired: string; run_id: string | null }>(
    `select state, desired, run_id from vapp where name = $1`,
    [name],
  );
}

test("machines that a failed stop left running are paid for once the vApp is started again", async () => {
  expect(await run("deploy", { input: { offering: "tiny", name: "again" } })).toBe("succeeded");
  tampers.set("again", async (ctx, phase, perform) => {
    if (phase === "undo" || ctx.stepId === "machine.stop:node-0") throw new AppError("endpoint_refused", "the test refuses");
    return perform(ctx, phase);
  });
  expect(await run("stop", { vapp: "again", input: { graceSeconds: 0 } })).toBe("failed");
  tampers.clear("again");
  expect(await run("start", { vapp: "again" })).toBe("succeeded");
  expect(await problems("again", "running")).toEqual([]);
});

test("a start that is taken back does not stop what ran before", async () => {
  expect(await run("deploy", { input: { offering: "tiny", name: "busy" } })).toBe("succeeded");
  tampers.set("busy", failAt("context.apply:node-0", "before"));
  expect(await run("start", { vapp: "busy" })).toBe("compensated");
  tampers.clear("busy");
  expect(await problems("busy", "running")).toEqual([]);
});

test("a stop that is taken back does not start what was stopped before", async () => {
  expect(await run("deploy", { input: { offering: "tiny", name: "idle" } })).toBe("succeeded");
  expect(await run("stop", { vapp: "idle", input: { graceSeconds: 0 } })).toBe("succeeded");
  tampers.set("idle", failAt("machine.stop:node-0", "before"));
  expect(await run("stop", { vapp: "idle", input: { graceSeconds: 0 } })).toBe("compensated");
  tampers.clear("idle");
  expect(await problems("idle", "stopped")).toEqual([]);
});

test("a deployment that failed and could not be undone is not brought back by automation, and can be deleted", async () => {
  const exposure = (await installation.plan("deploy", { input: { offering: "tiny", name: "half" } })).steps.at(-1)!.id;
  tampers.set("half", async (ctx, phase, perform) => {
    if (phase === "undo" && ctx.stepId === "machine.ensure:node-0") throw new AppError("endpoint_refused", "the test refuses");
    return failAt(exposure, "after")(ctx, phase, perform);
  });
  expect(await run("deploy", { input: { offering: "tiny", name: "half" } })).toBe("failed");
  tampers.clear("half");
  const { log, clock, signal } = installation.ctx;
  const later = { ...clock, now: () => clock.now() + 2 * settleMs };
  await new RepairReconciler(installation.platform).round({ log, clock: later, signal });
  await removeOrphans(installation.platform, { log, clock, signal });
  expect(await vapp("half")).toEqual([{ state: "failed", desired: "deleted", run_id: null }]);
  expect(await problems("half", "owned")).toEqual([]);
  const paid = await installation.sql(
    `select m.name from machine m join vapp v on v.id = m.vapp_id where v.name = 'half'
      and (select state from ledger l where l.resource_id = m.id order by seq desc limit 1) = 'running'`,
  );
  expect(paid).toEqual([]);
  expect(await run("purge", { vapp: "half" })).toBe("succeeded");
  expect(await problems("half", "gone")).toEqual([]);
});

test("the price of a stopped vApp is what it is billed", async () => {
  expect(await run("deploy", { input: { offering: "tiny", name: "parked" } })).toBe("succeeded");
  const plan = await installation.plan("stop", { vapp: "parked", input: { graceSeconds: 0 } });
  expect(await run("stop", { vapp: "parked", input: { graceSeconds: 0 } })).toBe("succeeded");
  expect((await showVapp(installation.ctx, "parked")).costPerHour).toBe(plan.cost.perHourAfter);
  // Everything is stopped by now, so an hour from here on is rated as what it will cost.
  const from = new Date(Date.now() + 60_000);
  const to = new Date(from.getTime() + 3_600_000);
  const bill = await showBill(installation.ctx, { vapp: "parked", from: from.toISOString(), to: to.toISOString() });
  expect(Number(bill.total)).toBeGreaterThan(0);
  expect(Number(plan.cost.perHourAfter)).toBeCloseTo(Number(bill.total), 6);
});

test("what is released is not charged again when its delete is ordered again", async () => {
  expect(await run("deploy", { input: { offering: "tiny", name: "twice" } })).toBe("succeeded");
  tampers.set("twice", failAt("segment.remove:lan", "before"));
  expect(await run("purge", { vapp: "twice" })).toBe("failed");
  tampers.clear("twice");
  expect(await run("purge", { vapp: "twice" })).toBe("succeeded");
  const after = await installation.sql(
    `select l.name, l.state from ledger l join ledger r on r.resource_id = l.resource_id and r.state = 'released' and r.seq < l.seq
      join vapp v on v.id = l.vapp_id where v.name = 'twice'`,
  );
  expect(after).toEqual([]);
});
