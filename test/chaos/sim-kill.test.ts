/** kill -9 of the control plane at every fault point of a deployment, of its undoing, and of a delete, on the simulated site. */
import { afterAll, beforeAll, expect, test } from "vitest";
import type { PlanView } from "#domain/plan.ts";
import { faultPoints } from "#engine/fault.ts";
import { killAtEach, type Matrix } from "../support/chaos-matrix.ts";
import { startInstallation, type Installation } from "../support/installation.ts";
import { seenInSim, worldProblems } from "../support/world-verdict.ts";

let installation: Installation;
beforeAll(async () => {
  installation = await startInstallation({ withEngine: false });
});
afterAll(() => installation.close());

const deployRequest = (name: string) => ({ action: "deploy", input: { offering: "tiny", name } });

function matrix(points: readonly string[], more: Pick<Matrix, "prefix" | "request" | "outcome" | "expected">): Matrix {
  return {
    points,
    control: { url: installation.url, home: installation.home },
    sql: installation.sql,
    judge: async (expected) => worldProblems(installation.sql, seenInSim(await installation.simDump()), expected),
    patienceMs: 30_000,
    prepare: async () => {},
    ...more,
  };
}

function pointsOf(plan: PlanView, phase: "do" | "undo"): string[] {
  return faultPoints(plan.steps).filter((point) => point.startsWith("run:") || point.startsWith(`${phase}:`));
}

test("deploy: killed anywhere, it is finished", { timeout: 600_000 }, async () => {
  const points = pointsOf(await installation.plan("deploy", { input: { offering: "tiny" } }), "do");
  expect(points).toHaveLength(4 + 4 * 12);
  const more = { prefix: "k", request: deployRequest, outcome: "succeeded", expected: "running" } as const;
  expect(await killAtEach(matrix(points, more))).toEqual([]);
});

test("delete: killed anywhere, it is finished", { timeout: 600_000 }, async () => {
  const request = (vapp: string) => ({ action: "purge", vapp, input: {} });
  const starter = await installation.plan("purge", { vapp: "k0" });
  const points = pointsOf(starter, "do");
  expect(points).toHaveLength(4 + 4 * 4);
  // The vApps of the deployments are there already.
  const more = { prefix: "k", request, outcome: "succeeded", expected: "gone" } as const;
  expect(await killAtEach(matrix(points, more))).toEqual([]);
});

test("deploy that fails: killed anywhere while it is undone, nothing is left", { timeout: 600_000 }, async () => {
  await installation.sim.faultAdd({ operation: "exposureEnsure", fail: "endpoint_refused", times: 1_000_000 });
  const plan = await installation.plan("deploy", { input: { offering: "tiny" } });
  const points = pointsOf(plan, "undo").filter((point) => point.startsWith("undo:"));
  expect(points).toHaveLength(4 * 6);
  const more = { prefix: "u", request: deployRequest, outcome: "compensated", expected: "gone" } as const;
  expect(await killAtEach(matrix(points, more))).toEqual([]);
});
