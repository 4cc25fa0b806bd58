import { expect, test } from "vitest";
import { Faults } from "#providers/sim/faults.ts";

test("hits the n-th matching call and as many after it as asked", () => {
  const faults = new Faults(() => 0);
  faults.add({ endpoint: "a", operation: "machineEnsure", nth: 2, times: 2, fail: "endpoint_busy" });
  const fails = (scope: string, operation: string) => faults.judge(scope, operation, "m").fail;
  expect(fails("b", "machineEnsure")).toBeUndefined();
  expect(fails("a", "machineStart")).toBeUndefined();
  expect([1, 2, 3, 4].map(() => fails("a", "machineEnsure"))).toEqual([undefined, "endpoint_busy", "endpoint_busy", undefined]);
});

test("may be bound to the object of one name, and adds up with others", () => {
  const faults = new Faults(() => 0);
  faults.add({ operation: "*", name: "m1", delayMs: 5, times: 9 });
  faults.add({ operation: "machineRemove", delayMs: 7, loseAnswer: true });
  expect(faults.judge("a", "machineStart", "m2")).toEqual({ delayMs: 0, fail: undefined, failAfter: undefined, loseAnswer: false });
  expect(faults.judge("a", "machineRemove", "m1")).toEqual({ delayMs: 12, fail: undefined, failAfter: undefined, loseAnswer: true });
  expect(faults.judge("a", "machineRemove", "m1")).toEqual({ delayMs: 5, fail: undefined, failAfter: undefined, loseAnswer: false });
  faults.clear();
  expect(faults.judge("a", "machineRemove", "m1").delayMs).toBe(0);
});

test("one that is for ever hits every call from the n-th on, and says so only after the work", () => {
  const faults = new Faults(() => 0);
  faults.add({ operation: "machineEnsure", nth: 2, forever: true, failAfter: "endpoint_refused" });
  const seen = Array.from({ length: 20 }, () => faults.judge("a", "machineEnsure", "m"));
  expect(seen.map(({ failAfter }) => failAfter)).toEqual([undefined, ...Array.from({ length: 19 }, () => "endpoint_refused")]);
  expect(seen.every(({ fail }) => fail === undefined)).toBe(true);
});

test("an outage ends by itself", () => {
  let now = 1_000;
  const faults = new Faults(() => now);
  faults.unreachable("a", 50);
  expect([faults.isUnreachable("a"), faults.isUnreachable("b")]).toEqual([true, false]);
  now += 50;
  expect(faults.isUnreachable("a")).toBe(false);
  faults.unreachable("*", 50);
  expect(faults.isUnreachable("b")).toBe(true);
});
