import { describe, expect, it } from "vitest";
import { z } from "zod";
import type { BalancerFactory } from "#adapter/balancer.ts";
import { balancerFactory } from "#app/balancer-registry.ts";
import { assert } from "#domain/error.ts";

const factory = (kind: string): BalancerFactory => ({
  kind,
  config: z.strictObject({}),
  open: () => assert(false, "nothing is opened here") as never,
});
const registry = new Map(["alpha", "beta", "sim"].map((kind) => [kind, factory(kind)]));

describe("which adapter", () => {
  it.each([
    ["libvirt", null, "alpha"],
    ["lxd", "beta", "beta"],
    ["lxd", "sim", "sim"],
    ["sim", null, "sim"],
    ["sim", "beta", "sim"],
  ])("machine of %s, blueprint names %s: %s", (provider, named, kind) => {
    expect(balancerFactory(registry, provider, named).kind).toBe(kind);
  });

  it("an unknown one is refused with those there are", () => {
    expect(() => balancerFactory(registry, "lxd", "gamma")).toThrowError(
      expect.objectContaining({
        code: "invalid_input",
        detail: [expect.objectContaining({ constraint: "a balancer adapter is one of: alpha, beta, sim" })],
      }),
    );
    expect(() => balancerFactory(new Map(), "lxd", null)).toThrowError(expect.objectContaining({ code: "invalid_input" }));
  });
});
