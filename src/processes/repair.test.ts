import { describe, expect, it } from "vitest";
import type { Drift } from "#domain/drift.ts";
import type { MachineOfVapp, VappOfPlan } from "#domain/plan.ts";
import type { ProcessPlan } from "#process/contract.ts";
import { repair } from "#processes/repair.ts";
import { factsWith, tinyVapp } from "../../test/support/planning.ts";

const memory = (stuck: boolean): Drift => ({ name: "memoryMiB", desired: 128, observed: 77, stuck });

function broken(over: Readonly<Record<string, Partial<MachineOfVapp>>>, more: Partial<VappOfPlan> = {}) {
  return factsWith({ machines: tinyVapp.machines.map((one) => ({ ...one, ...over[one.name] })), ...more });
}

const ids = (plan: ProcessPlan) => plan.steps.map(({ id }) => id);
const after = (plan: ProcessPlan, id: string) => plan.steps.find((step) => step.id === id)?.after;

describe("repair", () => {
  it("checks what is well, stops nothing, and says so", () => {
    const plan = repair.plan(factsWith({}), {});
    expect(ids(plan)).toEqual([
      "segment.ensure:lan",
      "address.ensure:node-0",
      "address.ensure:edge-0",
      "image.ensure:tiny-node@libvirt",
      "image.ensure:tiny-edge@lxd",
      "machine.ensure:node-0",
      "machine.ensure:edge-0",
      "context.apply:node-0",
      "health.wait:node-0",
      "context.apply:edge-0",
      "exposure.ensure:edge-0-80",
    ]);
    expect(plan).toMatchObject({ summary: "Repair tiny: check everything", downtimeSeconds: 0 });
    expect(after(plan, "context.apply:edge-0")).toEqual(["machine.ensure:edge-0", "health.wait:node-0"]);
  });

  it("makes the network before the machines, and machines before their configuration, in start sequence", () => {
    const plan = repair.plan(broken({ "node-0": { state: "missing" } }), {});
    expect(after(plan, "machine.ensure:node-0")).toEqual(
      expect.arrayContaining(["segment.ensure:lan", "address.ensure:node-0", "image.ensure:tiny-node@libvirt"]),
    );
    expect(after(plan, "context.apply:node-0")).toEqual(["machine.ensure:node-0"]);
    expect(plan.summary).toBe("Repair tiny: bring back node-0");
    expect(plan.downtimeSeconds).toBe(0);
  });

  it("revives a machine that hangs before it is configured; nobody loses anything who had nothing", () => {
    const plan = repair.plan(broken({ "edge-0": { hung: true } }), {});
    expect(after(plan, "machine.revive:edge-0")).toEqual(["machine.ensure:edge-0"]);
    expect(after(plan, "context.apply:edge-0")).toContain("machine.revive:edge-0");
    expect(plan).toMatchObject({ summary: "Repair tiny: revive edge-0", downtimeSeconds: 0 });
  });

  it("takes a change by hand back while the machine runs, and announces the stop when that did not help", () => {
    const gentle = repair.plan(broken({ "node-0": { drift: [memory(false)] } }), {});
    expect(ids(gentle)).not.toContain("machine.stop:node-0");
    expect(gentle).toMatchObject({ summary: "Repair tiny: take back changes of node-0", downtimeSeconds: 0 });
    const plan = repair.plan(broken({ "node-0": { drift: [memory(true)], hung: true } }), {});
    expect(after(plan, "machine.ensure:node-0")).toEqual(["machine.stop:node-0"]);
    expect(after(plan, "context.apply:node-0")).toEqual(["machine.ensure:node-0"]);
    expect(ids(plan)).not.toContain("machine.revive:node-0");
    expect(plan.downtimeSeconds).toBeGreaterThan(0);
  });

  it("does not announce a stop of what is down already", () => {
    const plan = repair.plan(broken({ "node-0": { state: "crashed", drift: [memory(true)] } }), {});
    expect(ids(plan)).not.toContain("machine.stop:node-0");
    expect(plan.downtimeSeconds).toBe(0);
  });

  it("removes what an order that shrank the vApp left behind", () => {
    const plan = repair.plan(broken({}, { leaving: [{ ...tinyVapp.machines[0]!, name: "node-1" }] }), {});
    expect(ids(plan)).toContain("machine.remove:node-1");
    expect(plan.summary).toBe("Repair tiny: remove node-1");
  });

  it("says the same for the same facts", () => {
    const facts = broken({ "node-0": { state: "missing" }, "edge-0": { hung: true } });
    const copy = structuredClone(facts);
    expect(repair.plan(facts, {})).toEqual(repair.plan(facts, {}));
    expect(facts).toEqual(copy);
  });
});
