import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { validateSaga } from "#domain/saga.ts";
import type { ProcessPlan } from "#process/contract.ts";
import { deploy } from "#processes/deploy.ts";
import { deployFacts } from "../../test/support/planning.ts";

const input = { offering: "tiny", parameters: {} };

/** All steps that must have succeeded before this one. */
function ancestors(plan: ProcessPlan, id: string): Set<string> {
  const seen = new Set<string>();
  const visit = (one: string) => {
    for (const before of plan.steps.find((step) => step.id === one)!.after) {
      if (seen.has(before)) continue;
      seen.add(before);
      visit(before);
    }
  };
  visit(id);
  return seen;
}

describe("deploy", () => {
  const plan = deploy.plan(deployFacts, input);

  it("puts each machine where its kind can live and says why", () => {
    expect(plan.desired?.machines.map(({ name, kind, endpointId }) => [name, kind, endpointId])).toEqual([
      ["node-0", "vm", "e1"],
      ["edge-0", "container", "e2"],
    ]);
    for (const machine of plan.desired!.machines) expect(machine.reason).toMatch(/\S/);
  });

  it("is a valid graph in which nothing exists before what it needs", () => {
    expect(() => validateSaga(plan.steps.map((step) => ({ ...step, undoable: true })))).not.toThrow();
    expect(ancestors(plan, "machine.ensure:node-0")).toEqual(
      new Set(["segment.ensure:lan", "address.ensure:node-0", "address.ensure:edge-0", "image.ensure:tiny-node@libvirt"]),
    );
    expect(ancestors(plan, "context.apply:edge-0")).toContain("health.wait:node-0");
    expect(ancestors(plan, "machine.ensure:edge-0")).not.toContain("machine.ensure:node-0");
    expect(ancestors(plan, "exposure.ensure:edge-0-80")).toContain("context.apply:edge-0");
  });

  it("no step's input holds a secret or an address", () => {
    expect(JSON.stringify(plan.steps)).not.toMatch(/secret|\d+\.\d+\.\d+\.\d+/);
  });

  it("the same facts and input give the same plan", () => {
    expect(deploy.plan(structuredClone(deployFacts), structuredClone(input))).toEqual(plan);
  });

  it("has a machine.ensure for every machine at any count, and uses an image once per endpoint", () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 4 }), (nodes) => {
        const scaled = deploy.plan(deployFacts, { ...input, parameters: { nodes } });
        expect(scaled.steps.filter(({ kind }) => kind === "machine.ensure")).toHaveLength(nodes + 1);
        expect(scaled.steps.filter(({ kind }) => kind === "image.ensure")).toHaveLength(2);
        expect(new Set(scaled.steps.map(({ id }) => id)).size).toBe(scaled.steps.length);
      }),
    );
  });

  it.each([
    ["an unknown offering", { ...deployFacts, offering: null }, input, "not_found"],
    ["a missing image", { ...deployFacts, images: [] }, input, "conflict"],
    ["an unknown site", deployFacts, { ...input, site: "moon" }, "not_found"],
    [
      "no room",
      { ...deployFacts, endpoints: deployFacts.endpoints.map((one) => ({ ...one, usedMemoryMiB: one.memoryMiB })) },
      input,
      "no_capacity",
    ],
    [
      "endpoints that do not answer",
      { ...deployFacts, endpoints: deployFacts.endpoints.map((one) => ({ ...one, state: "unreachable" as const })) },
      input,
      "no_capacity",
    ],
    ["a parameter out of range", deployFacts, { ...input, parameters: { nodes: 9 } }, "invalid_input"],
  ])("refuses %s with constraint, source and nearest change", (_what, facts, given, code) => {
    let caught: unknown;
    try {
      deploy.plan(facts, given);
    } catch (error) {
      caught = error;
    }
    expect(caught).toMatchObject({ code });
    const { detail } = caught as { detail: { constraint: string; source: string; nearest: string }[] };
    expect(detail.length).toBeGreaterThan(0);
    for (const refusal of detail) for (const part of [refusal.constraint, refusal.source, refusal.nearest]) expect(part).toMatch(/\S/);
  });
});
