import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { z } from "zod";
import { editDistance, nearestName, refusalsOfIssues } from "#domain/refusal.ts";

describe("nearestName", () => {
  test.each([
    ["wep", ["web", "db"], 'use "web"'],
    ["bakc", ["front", "back"], 'use "back"'],
    ["zzz", ["web", "db"], "use one of the known: db, web"],
    ["x", [], "leave it out: no tier is known here"],
  ])("%s of %j", (name, known, nearest) => {
    expect(nearestName(name, known, "tier")).toBe(nearest);
  });

  test("long lists are cut", () => {
    const known = Array.from({ length: 20 }, (_, n) => `name-${n}-of-many`);
    expect(nearestName("q", known, "image")).toMatch(/, \.\.\.$/);
  });
});

test("property: edit distance is a metric that is zero for equal words only", () => {
  const word = fc.stringMatching(/^[abc]{0,6}$/);
  fc.assert(
    fc.property(word, word, word, (a, b, c) => {
      expect(editDistance(a, b) === 0).toBe(a === b);
      expect(editDistance(a, b)).toBe(editDistance(b, a));
      expect(editDistance(a, c)).toBeLessThanOrEqual(editDistance(a, b) + editDistance(b, c));
      expect(editDistance(a, b)).toBeLessThanOrEqual(Math.max(a.length, b.length));
    }),
  );
});

test("each issue of a schema becomes a refusal with path and nearest change", () => {
  const schema = z.strictObject({
    count: z.int().min(1).max(5),
    kind: z.enum(["vm", "container"]),
    name: z.string().regex(/^[a-z]+$/, "lower-case letters"),
    list: z.record(z.string().regex(/^[a-z]+$/, "a name of letters"), z.int()),
    needed: z.string(),
  });
  const parsed = schema.safeParse({ count: 9, kind: "pod", name: "A", list: { "1": 1 }, extra: true });
  expect(refusalsOfIssues(parsed.error!.issues, "order")).toEqual([
    { constraint: "count: Too big: expected number to be <=5", source: "order, count", nearest: "use at most 5" },
    { constraint: 'kind: Invalid option: expected one of "vm"|"container"', source: "order, kind", nearest: "use one of: vm, container" },
    { constraint: "name: lower-case letters", source: "order, name", nearest: "write it so that it matches /^[a-z]+$/" },
    { constraint: "list.1: the name is not a name of letters", source: "order, list.1", nearest: "choose a name of letters" },
    { constraint: "needed: Invalid input: expected string, received undefined", source: "order, needed", nearest: "give it as string" },
    { constraint: 'the document has no field "extra"', source: "order", nearest: 'remove "extra"' },
  ]);
});
