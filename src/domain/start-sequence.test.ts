import fc from "fast-check";
import { expect, test } from "vitest";
import type { AppError } from "#domain/error.ts";
import { startSequence } from "#domain/start-sequence.ts";

test("a chain is a sequence, independent tiers are one wave, nothing is nothing", () => {
  expect(startSequence({ proxy: { after: ["web"] }, web: { after: ["db"] }, db: { after: [] } }, "x")).toEqual([
    ["db"],
    ["web"],
    ["proxy"],
  ]);
  expect(startSequence({ a: { after: [] }, b: { after: [] } }, "x")).toEqual([["a", "b"]]);
  expect(startSequence({}, "x")).toEqual([]);
});

test("property: waves start every tier once, after all it waits for; otherwise a cycle is named", () => {
  const names = ["a", "b", "c", "d", "e", "f"];
  const graph = fc.record(
    Object.fromEntries(names.map((name) => [name, fc.record({ after: fc.uniqueArray(fc.constantFrom(...names), { maxLength: 2 }) })])),
  );
  fc.assert(
    fc.property(graph, (tiers) => {
      let waves: string[][];
      try {
        waves = startSequence(tiers, "offering x");
      } catch (error) {
        const cycle = /circle: (.*)$/.exec((error as AppError).detail[0]!.constraint)![1]!.split(" after ");
        expect(cycle[0]).toBe(cycle.at(-1));
        for (const [index, name] of cycle.slice(0, -1).entries()) expect(tiers[name]!.after).toContain(cycle[index + 1]);
        return;
      }
      expect(waves.flat().sort()).toEqual(names);
      const waveOf = (name: string) => waves.findIndex((wave) => wave.includes(name));
      for (const name of names) for (const other of tiers[name]!.after) expect(waveOf(other)).toBeLessThan(waveOf(name));
    }),
  );
});
