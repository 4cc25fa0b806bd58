import { setTimeout as pause } from "node:timers/promises";
import { expect, it } from "vitest";
import { eachBounded } from "#lib/bounded.ts";

it("works on every item, never on more at once than the limit", async () => {
  let now = 0;
  let most = 0;
  const done: number[] = [];
  await eachBounded([1, 2, 3, 4, 5, 6, 7], 3, async (item) => {
    most = Math.max(most, (now += 1));
    await pause(5);
    now -= 1;
    done.push(item);
  });
  expect(done.toSorted()).toEqual([1, 2, 3, 4, 5, 6, 7]);
  expect(most).toBe(3);
});

it("a failure is passed on once nothing is in flight any more", async () => {
  let inFlight = 0;
  const work = async (item: number) => {
    inFlight += 1;
    await pause(item);
    inFlight -= 1;
    if (item === 1) throw new Error("one failed");
  };
  await expect(eachBounded([1, 20], 2, work)).rejects.toThrow("one failed");
  expect(inFlight).toBe(0);
});

it("nothing to do is done", async () => {
  await eachBounded([], 3, () => Promise.reject(new Error("never called")));
});
