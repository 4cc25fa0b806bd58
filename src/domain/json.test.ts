import { createHash } from "node:crypto";
import fc from "fast-check";
import { expect, test } from "vitest";
import { canonicalJson, hashInput, hashOf } from "#domain/json.ts";

test("keys are sorted at every depth, undefined members are left out", () => {
  expect(canonicalJson({ b: 1, a: { d: [true, null], c: "é\n" }, e: undefined })).toBe('{"a":{"c":"é\\n","d":[true,null]},"b":1}');
});

test("what JSON cannot say is refused", () => {
  for (const value of [Number.NaN, Infinity, undefined, 1n, () => 1, new Date(0), [undefined], new Map()]) {
    expect(() => canonicalJson(value)).toThrow(/JSON has no/);
  }
});

test("property: parsing the canonical text gives the value back, and the order of keys does not matter", () => {
  fc.assert(
    fc.property(fc.jsonValue(), (value) => {
      const text = canonicalJson(value);
      expect(canonicalJson(JSON.parse(text))).toBe(text);
      // JSON.parse cannot tell -0 from 0, so compare with what JSON keeps.
      expect(JSON.parse(text)).toEqual(JSON.parse(JSON.stringify(value)));
      expect(canonicalJson(reversed(JSON.parse(text)))).toBe(text);
    }),
  );
});

test("the kind is part of what is hashed", () => {
  const sha256 = (text: string) => createHash("sha256").update(text).digest("hex");
  expect(hashInput("plan", { b: 1, a: 2 })).toBe('stratiform:plan:1\n{"a":2,"b":1}');
  expect(hashOf("plan", { a: 1 }, sha256)).not.toBe(hashOf("order", { a: 1 }, sha256));
});

function reversed(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(reversed);
  if (typeof value !== "object" || value === null) return value;
  return Object.fromEntries(
    Object.entries(value)
      .reverse()
      .map(([key, member]) => [key, reversed(member)]),
  );
}
