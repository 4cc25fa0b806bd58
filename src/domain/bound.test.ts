import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { allow, boundSchema } from "#domain/bound.ts";
import type { BoundAction, BoundDecision } from "#domain/bound.ts";

const bound = boundSchema.parse({ maxCount: 4, rate: { actions: 3, windowMs: 60_000 }, breaker: { failures: 2, openMs: 300_000 } });
const request = { adds: 1, source: "bound of the repair reconciler" };
const done = (at: number): BoundAction => ({ at, endedAt: at + 1000, outcome: "succeeded" });
const failed = (at: number): BoundAction => ({ at, endedAt: at + 1000, outcome: "failed" });
const pending = (at: number): BoundAction => ({ at, endedAt: null, outcome: "pending" });

function refused(decision: BoundDecision) {
  if (decision.allowed) throw new Error("was allowed");
  return decision;
}

describe("count", () => {
  test("is of objects in all states; an action that adds nothing is not held up by it", () => {
    expect(allow(bound, { count: 3, actions: [] }, 0, request).allowed).toBe(true);
    expect(refused(allow(bound, { count: 4, actions: [] }, 0, request))).toEqual({
      allowed: false,
      refusals: [
        {
          constraint: "at most 4 in all states, there are 4 and 1 would be added",
          source: "bound of the repair reconciler",
          nearest: "delete 1, or raise the maximum to 5",
        },
      ],
      notBefore: null,
    });
    expect(refused(allow(bound, { count: 2, actions: [] }, 0, { ...request, adds: 3 })).refusals[0]!.nearest).toBe("add at most 2");
    expect(allow(bound, { count: 9, actions: [] }, 0, { ...request, adds: 0 }).allowed).toBe(true);
  });
});

describe("rate", () => {
  test("counts what was started in the window, outcome or not, and says when it is free again", () => {
    const actions = [done(10_000), pending(20_000), done(30_000)];
    expect(refused(allow(bound, { count: 0, actions }, 40_000, request)).notBefore).toBe(70_000);
    expect(allow(bound, { count: 0, actions }, 69_999, request).allowed).toBe(false);
    expect(allow(bound, { count: 0, actions }, 70_000, request).allowed).toBe(true);
  });

  test("an action from a clock that is ahead counts as just made", () => {
    const actions = [done(999_000), done(999_000), done(999_000)];
    expect(refused(allow(bound, { count: 0, actions }, 1000, request)).notBefore).toBe(61_000);
  });
});

describe("breaker", () => {
  const actions = [done(0), failed(100_000), failed(200_000)];

  test("opens after failures in a row, lets one attempt through afterwards, and closes with a success", () => {
    expect(refused(allow(bound, { count: 0, actions }, 300_000, request)).notBefore).toBe(501_000);
    expect(allow(bound, { count: 0, actions }, 501_000, request).allowed).toBe(true);
    expect(refused(allow(bound, { count: 0, actions: [...actions, pending(501_000)] }, 570_000, request)).refusals[0]!.nearest).toBe(
      "wait for its outcome",
    );
    expect(refused(allow(bound, { count: 0, actions: [...actions, failed(501_000)] }, 570_000, request)).notBefore).toBe(802_000);
    expect(allow(bound, { count: 0, actions: [...actions, done(501_000)] }, 570_000, request).allowed).toBe(true);
  });

  test("a failure between successes does not open it", () => {
    expect(allow(bound, { count: 0, actions: [failed(0), done(100_000), failed(200_000)] }, 210_000, request).allowed).toBe(true);
  });
});

/** A loop that always wants more and never looks at its own work: what the bound alone must contain. */
const loop = fc.array(
  fc.record({ waitMs: fc.integer({ min: 0, max: 90_000 }), takesMs: fc.integer({ min: 0, max: 60_000 }), succeeds: fc.boolean() }),
  { maxLength: 80 },
);

test("property: a runaway loop never exceeds count, rate or breaker", () => {
  fc.assert(
    fc.property(loop, (tries) => {
      const large = { ...bound, maxCount: 20 };
      const actions: BoundAction[] = [];
      let now = 0;
      for (const { waitMs, takesMs, succeeds } of tries) {
        now += waitMs;
        // Seen from now: outcomes of the future are not known yet.
        const seen = actions.map((one) => (one.endedAt !== null && one.endedAt > now ? pending(one.at) : one));
        const decision = allow(large, { count: actions.length, actions: seen }, now, request);
        if (decision.allowed) actions.push({ at: now, endedAt: now + takesMs, outcome: succeeds ? "succeeded" : "failed" });
        else if (decision.notBefore !== null) {
          // Waiting as told helps, and a moment earlier does not.
          expect(decision.notBefore).toBeGreaterThan(now);
          expect(allow(large, { count: actions.length, actions: seen }, decision.notBefore - 1, request).allowed).toBe(false);
        }
      }
      expect(actions.length).toBeLessThanOrEqual(20);
      for (const one of actions) {
        expect(actions.filter((other) => other.at > one.at - 60_000 && other.at <= one.at).length).toBeLessThanOrEqual(3);
        const known = actions.filter((other) => other.endedAt! <= one.at).sort((a, b) => b.endedAt! - a.endedAt!);
        const inRow = known.findIndex((other) => other.outcome === "succeeded");
        const failures = inRow === -1 ? known : known.slice(0, inRow);
        // With two failures in a row, at least the open time has passed since the last of them.
        if (failures.length >= 2 && failures[0]!.at !== one.at) expect(one.at - failures[0]!.endedAt!).toBeGreaterThanOrEqual(300_000);
      }
    }),
    { numRuns: 300 },
  );
});
