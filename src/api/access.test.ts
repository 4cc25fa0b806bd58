import { expect, test } from "vitest";
import { isAppError } from "#domain/error.ts";
import { Occupancy, RateLimiter } from "#api/access.ts";

function makeClock() {
  const clock = { ms: 0, now: () => clock.ms, sleep: () => Promise.resolve() };
  return clock;
}

function codeOf(body: () => void): string | null {
  try {
    body();
    return null;
  } catch (error) {
    return isAppError(error) ? error.code : String(error);
  }
}

test("a bucket gives its burst at once, then its rate, and each key has its own", () => {
  const clock = makeClock();
  const limiter = new RateLimiter(clock, 10, 3);
  const take = (key: string) => codeOf(() => limiter.take(key));
  expect([take("a"), take("a"), take("a"), take("a")]).toEqual([null, null, null, "too_many_requests"]);
  expect(take("b")).toBeNull();
  clock.ms += 99;
  expect(take("a")).toBe("too_many_requests");
  clock.ms += 1;
  expect([take("a"), take("a")]).toEqual([null, "too_many_requests"]);
  clock.ms += 3_600_000;
  expect([take("a"), take("a"), take("a"), take("a")]).toEqual([null, null, null, "too_many_requests"]);
});

test("what is under way is counted per key and in all, and leaving twice frees one place", () => {
  const streams = new Occupancy("streams", 3, 2);
  const leave = streams.enter("a");
  streams.enter("a");
  expect(codeOf(() => streams.enter("a"))).toBe("too_many_requests");
  streams.enter("b");
  expect(codeOf(() => streams.enter("c"))).toBe("unavailable");
  leave();
  leave();
  expect(codeOf(() => streams.enter("c"))).toBeNull();
  expect(codeOf(() => streams.enter("d"))).toBe("unavailable");
});
