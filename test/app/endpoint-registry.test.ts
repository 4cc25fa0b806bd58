import { describe, expect, it } from "vitest";
import { simFactory } from "#providers/sim/provider.ts";
import { openDatabase } from "#store/database.ts";
import { silentLog } from "#lib/log.ts";
import { EndpointRegistry } from "#app/endpoint-registry.ts";

const row = (generation: number) => ({ id: "e1", generation, provider: "sim", config: { socket: "/nowhere/sim.sock", endpoint: "a" } });

describe("endpoint registry", () => {
  const registry = new EndpointRegistry(openDatabase({ url: "postgresql://nobody@127.0.0.1:1/none", log: silentLog }), [simFactory], []);

  it("opens one adapter per generation, and a row read earlier does not bring the old one back", () => {
    const first = registry.providerOf(row(1));
    expect(registry.providerOf(row(1))).toBe(first);
    const second = registry.providerOf(row(2));
    expect(second).not.toBe(first);
    expect(registry.providerOf(row(1))).toBe(second);
    expect(registry.providerOf(row(2))).toBe(second);
  });

  it("names the kinds there are when one is unknown", () => {
    expect(() => registry.openProvider("vsphere", {})).toThrowError(
      expect.objectContaining({ code: "invalid_input", detail: [expect.objectContaining({ constraint: "a provider is one of sim" })] }),
    );
  });
});
