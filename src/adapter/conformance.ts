/**
 * The conformance suite of balancers: the one definition of what a balancer adapter must do, run unchanged against every adapter with a
 * real balancer, real members and real requests.
 *
 *     balancerConformance({ name: "haproxy", capabilities, pool, open, memberStart, get, kill, start });
 *
 * The balancer runs before the first check, with an empty pool, and is the suite's alone. The checks are plain functions
 * (conformance/checks.ts), so that sabotage tests can show that they turn red.
 */
import { describe, test } from "vitest";
import { checksFor } from "#adapter/conformance/checks.ts";
import type { BalancerSubject } from "#adapter/conformance/subject.ts";

export type { BalancerSubject, TestMember } from "#adapter/conformance/subject.ts";

/** Health checks take their time, and so does a loaded machine. */
const checkLimitMs = 120_000;

export function balancerConformance(subject: BalancerSubject): void {
  describe(`balancer conformance: ${subject.name}`, () => {
    for (const check of checksFor(subject.capabilities)) {
      test(check.name, { timeout: checkLimitMs }, () => check.run(subject));
    }
  });
}
