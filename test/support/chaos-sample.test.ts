import { expect, test } from "vitest";
import { chaosSeed, sampleOf } from "./chaos-sample.ts";

const all = Array.from({ length: 40 }, (_, index) => index);

test("the same seed chooses the same, in the order of the whole; another seed or name something else", () => {
  const chosen = sampleOf(all, 5, 7, "resize");
  expect(chosen).toHaveLength(5);
  expect(new Set(chosen).size).toBe(5);
  expect(chosen).toEqual(chosen.toSorted((a, b) => a - b));
  expect(sampleOf(all, 5, 7, "resize")).toEqual(chosen);
  expect(sampleOf(all, 5, 8, "resize")).not.toEqual(chosen);
  expect(sampleOf(all, 5, 7, "scale")).not.toEqual(chosen);
  expect(sampleOf(all, 100, 7, "resize")).toEqual(all);
});

test("in the end every point is chosen by some seed", () => {
  const seeds = Array.from({ length: 200 }, (_, seed) => seed);
  const seen = new Set(seeds.flatMap((seed) => sampleOf(all, 5, seed, "resize")));
  expect(all.filter((point) => !seen.has(point))).toEqual([]);
});

test("the seed is the variable's, or of the moment; what is no number is refused", () => {
  expect(chaosSeed({ STRATIFORM_CHAOS_SEED: "42" })).toBe(42);
  expect(chaosSeed({}, 1_234_567_890)).toBe(567_890);
  expect(() => chaosSeed({ STRATIFORM_CHAOS_SEED: "x" })).toThrow(/whole number/);
});
