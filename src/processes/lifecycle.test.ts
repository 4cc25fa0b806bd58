import { describe, expect, it } from "vitest";
import type { ProcessPlan } from "#process/contract.ts";
import { purge } from "#processes/purge.ts";
import { factsWith } from "../../test/support/planning.ts";
import { repair } from "#processes/repair.ts";
import { start } from "#processes/start.ts";
import { stop } from "#processes/stop.ts";

const after = (plan: ProcessPlan, id: string) => plan.steps.find((step) => step.id === id)?.after;

describe("purge", () => {
  it("closes exposures, removes machines in reverse start sequence, then segments", () => {
    const plan = purge.plan(factsWith({}), {});
    expect(plan.steps.map(({ id }) => id)).toEqual([
      "exposure.remove:edge-0-80",
      "machine.remove:node-0",
      "machine.remove:edge-0",
      "segment.remove:lan",
    ]);
    expect(after(plan, "machine.remove:node-0")).toEqual(["exposure.remove:edge-0-80", "machine.remove:edge-0"]);
    expect(after(plan, "segment.remove:lan")).toContain("machine.remove:node-0");
    expect(plan).toMatchObject({ reversible: false, desired: { desired: "deleted" } });
  });

  it("begins after the run it pre-empts has settled", () => {
    const plan = purge.plan(factsWith({}), { settle: "r1" });
    expect(plan.steps[0]).toMatchObject({ kind: "run.settle", input: { run: "r1" } });
    for (const step of plan.steps.slice(1)) expect(step.after).toContain("run.settle:before");
  });

  it("deletes a failed vApp again, and refuses one that is gone", () => {
    expect(purge.plan(factsWith({ state: "failed", desired: "deleted" }), {}).steps.length).toBeGreaterThan(0);
    expect(() => purge.plan(factsWith({ state: "deleted" }), {})).toThrowError(expect.objectContaining({ code: "not_found" }));
  });
});

describe("start and stop", () => {
  it("start boots all machines side by side and configures them in sequence", () => {
    const plan = start.plan(factsWith({ desired: "stopped" }), {});
    expect(after(plan, "machine.start:edge-0")).toEqual([]);
    expect(after(plan, "context.apply:edge-0")).toEqual(["machine.start:edge-0", "health.wait:node-0"]);
    expect(plan.desired?.desired).toBe("running");
  });

  it("stop asks dependents first and passes the grace on in milliseconds", () => {
    const plan = stop.plan(factsWith({}), { graceSeconds: 7 });
    expect(after(plan, "machine.stop:node-0")).toEqual(["machine.stop:edge-0"]);
    for (const step of plan.steps) expect(step.input).toMatchObject({ graceMs: 7_000 });
  });

  it.each([start, stop, repair])("$name refuses a vApp that is being deleted", (process) => {
    expect(() => process.plan(factsWith({ desired: "deleted" }), { graceSeconds: 1 } as never)).toThrowError(
      expect.objectContaining({ code: "conflict" }),
    );
  });
});

describe("repair", () => {
  it("only ensures, and names what is down", () => {
    const facts = factsWith({});
    const broken = {
      ...facts,
      vapp: {
        ...facts.vapp!,
        machines: facts.vapp!.machines.map((one) => (one.name === "node-0" ? { ...one, state: "crashed" as const } : one)),
      },
    };
    const plan = repair.plan(broken, {});
    expect(plan.steps.every(({ kind }) => /\.(ensure|apply|wait)$/.test(kind))).toBe(true);
    expect(plan.summary).toContain("bring back node-0");
    expect(repair.onFailure).toBe("stop");
  });

  it("does not start what is meant to be stopped", () => {
    expect(() => repair.plan(factsWith({ desired: "stopped" }), {})).toThrowError(expect.objectContaining({ code: "conflict" }));
  });
});
