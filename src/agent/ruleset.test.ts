import { expect, test } from "vitest";
import { rulesetText } from "#agent/ruleset.ts";

const owner = { installation: "i", vapp: "v", object: "o" };
const back = { name: "sback", owner, prefix: "10.64.2.0/24", gateway: "10.64.2.1", isolated: true };
const front = { name: "sfront", owner, prefix: "10.64.1.0/24", gateway: "10.64.1.1", isolated: false };

test("the same segments give the same text in any order", () => {
  expect(rulesetText([back, front], { policy: "drop" })).toBe(rulesetText([front, back], { policy: "drop" }));
});

test("an isolated segment appears in no rule but its own bridge's", () => {
  const rules = rulesetText([back, front], { policy: "drop" })
    .split("\n")
    .filter((line) => line.includes("sback") || line.includes(back.prefix));
  expect(rules.map((line) => line.trim())).toEqual(['elements = { "sback", "sfront" }', 'iifname "sback" oifname "sback" accept']);
});

test("a segment with a way out may not use it towards other segments, nor with a borrowed address", () => {
  const text = rulesetText([front], { policy: "drop" });
  expect(text).toContain('iifname "sfront" ip saddr 10.64.1.0/24 oifname != @segments accept');
  expect(text).toContain("ip saddr 10.64.1.0/24 oifname != @segments masquerade");
});

test("without segments there is no empty list of elements, which nft refuses", () => {
  expect(rulesetText([], { policy: "drop" })).not.toContain("elements");
});
