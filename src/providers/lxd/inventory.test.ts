import { describe, expect, test } from "vitest";
import { ownerIn } from "./inventory.ts";

describe("whose it seems to be", () => {
  test.each([
    [
      { "user.owner": "Ada", "user.contact": "ops@example.org" },
      { who: "Ada", source: "user.owner" },
    ],
    [
      { "image.creator": "builder", "user.contact": "ops@example.org" },
      { who: "ops@example.org", source: "user.contact" },
    ],
    [{ "user.acme.Created-By": " Grace " }, { who: "Grace", source: "user.acme.Created-By" }],
    [{ "image.maintainer": "Linus" }, { who: "Linus", source: "image.maintainer" }],
  ])("%o says %o", (config: Record<string, string>, guess) => {
    expect(ownerIn(config)).toEqual(guess);
  });

  test.each([
    [{}],
    [{ "user.owner": "  " }],
    [{ "image.os": "Debian", "user.user-data": "owner: Ada", "volatile.owner": "x", "user.ownership": "x" }],
    [{ "user.stratiform.owner": "we", "user.stratiform.installation": "i" }],
  ])("%o says nothing", (config: Record<string, string>) => {
    expect(ownerIn(config)).toBeNull();
  });

  test("a long text is cut", () => {
    expect(ownerIn({ "user.owner": "x".repeat(5_000) })?.who.length).toBe(200);
  });
});
