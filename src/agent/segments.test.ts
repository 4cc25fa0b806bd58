import { expect, test } from "vitest";
import { aliasFormat, aliasParse, prefixContains } from "#agent/segments.ts";

test("an owner mark survives as a link's alias, and other people's aliases are no mark", () => {
  const owner = { installation: crypto.randomUUID(), vapp: crypto.randomUUID(), object: crypto.randomUUID() };
  expect(aliasParse(aliasFormat(owner))).toEqual(owner);
  expect(aliasFormat(owner).length).toBeLessThan(256);
  for (const foreign of ["", "uplink", "stratiform:", "stratiform:a/b", "stratiform:a/b/c/d"]) expect(aliasParse(foreign)).toBeNull();
});

test.each([
  ["10.64.1.0/24", "10.64.1.255", true],
  ["10.64.1.0/24", "10.64.2.0", false],
  ["10.64.1.4/30", "10.64.1.7", true],
  ["10.64.1.4/30", "10.64.1.8", false],
  ["192.168.0.0/16", "192.168.9.9", true],
  ["0.0.0.0/0", "203.0.113.9", true],
])("%s contains %s: %s", (prefix, address, expected) => {
  expect(prefixContains(prefix, address)).toBe(expected);
});
