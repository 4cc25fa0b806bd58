/** The balancer suite is itself under test: every check turns red on an adapter that breaks what it is about. */
import { AssertionError } from "node:assert";
import { expect, test } from "vitest";
import { balancerChecks, checksFor } from "#adapter/conformance/checks.ts";
import { startSimBalancer } from "../support/sim-balancer.ts";
import { balancerSabotages, sabotaged, type BalancerSabotage } from "./balancer-sabotages.ts";

/** Each in a world of its own: what a sabotage leaves behind must not spoil the next. */
async function failureOf(name: string, change: BalancerSabotage["change"], lacksDrain = false): Promise<unknown> {
  const world = await startSimBalancer();
  try {
    const { subject } = world;
    const capabilities = { ...subject.capabilities, drain: !lacksDrain };
    const check = checksFor(capabilities).find((found) => found.name === name);
    expect(check, `no check named "${name}"`).toBeDefined();
    const open = () => {
      const inner = subject.open();
      return sabotaged(inner, change(inner, subject));
    };
    // A simulated balancer notices at once; what it has not noticed by then it never will.
    return await check!.run({ ...subject, open, noticeMs: 2_000 }).then(
      () => null,
      (error: unknown) => error,
    );
  } finally {
    await world.stop();
  }
}

for (const { name, change, red } of balancerSabotages) {
  for (const check of red) {
    test.concurrent(`${name}: ${check}`, async () => {
      const error = await failureOf(check, change);
      expect(error, "the check did not notice").toBeInstanceOf(Error);
      expect(error).not.toBeInstanceOf(TypeError);
    });
  }
}

test("lacks: drain turns red on an adapter that half does it", async () => {
  expect(await failureOf("lacks: drain", () => ({}), true), "the check did not notice").toBeInstanceOf(AssertionError);
});

test("no check is without a sabotage", () => {
  const covered = new Set(balancerSabotages.flatMap(({ red }) => red));
  expect(balancerChecks.map(({ name }) => name).filter((name) => !covered.has(name))).toEqual([]);
});
