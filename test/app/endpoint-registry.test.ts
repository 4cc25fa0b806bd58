import { randomBytes } from "node:crypto";
import { describe, expect, it } from "vitest";
import { SecretBox } from "#app/secret-box.ts";
import { splitSecrets } from "#domain/endpoint.ts";
import { systemClock } from "#lib/clock.ts";
import { simFactory } from "#providers/sim/provider.ts";
import { openDatabase } from "#store/database.ts";
import { silentLog } from "#lib/log.ts";
import { EndpointRegistry } from "#app/endpoint-registry.ts";

const silent = { log: silentLog, clock: systemClock };
const row = (generation: number, mode: "manage" | "observe" = "manage") =>
  ({
    id: "e1",
    name: "a",
    generation,
    provider: "sim",
    config: { socket: "/nowhere/sim.sock", endpoint: "a" },
    mode,
    sealed: null,
  }) as const;

describe("endpoint registry", () => {
  const nobody = openDatabase({ url: "postgresql://nobody@127.0.0.1:1/none", log: silentLog });
  const registry = new EndpointRegistry(nobody, new SecretBox(randomBytes(32)), [simFactory], []);

  it("opens one adapter per generation, and a row read earlier does not bring the old one back", () => {
    const first = registry.providerOf(row(1));
    expect(registry.providerOf(row(1))).toBe(first);
    const second = registry.providerOf(row(2));
    expect(second).not.toBe(first);
    expect(registry.providerOf(row(1))).toBe(second);
    expect(registry.providerOf(row(2))).toBe(second);
  });

  it("hands a provider of an observed endpoint out only in its wrapper, for every method that changes something", async () => {
    const managed = registry.openProvider(row(1));
    const observed = registry.openProvider(row(1, "observe"));
    const methods = new Set<string>();
    for (let layer: object = managed; layer !== Object.prototype; layer = Object.getPrototypeOf(layer) as object) {
      for (const name of Object.getOwnPropertyNames(layer)) {
        const value: unknown = (managed as unknown as Record<string, unknown>)[name];
        if (name !== "constructor" && typeof value === "function") methods.add(name);
      }
    }
    const reading = ["describe", "imageList", "machineObserve", "machineList", "snapshotList", "inventory", "watch", "close"];
    expect(methods.size).toBeGreaterThan(reading.length + 10);
    for (const name of [...methods].filter((one) => !reading.includes(one))) {
      const call = (observed as unknown as Record<string, () => Promise<unknown>>)[name]!;
      await expect(call(), name).rejects.toMatchObject({ code: "not_ours", detail: [{ source: 'mode "observe" of endpoint a' }] });
    }
    await expect(observed.machineList({ ...silent, signal: AbortSignal.timeout(1_000) })).rejects.toMatchObject({
      code: "endpoint_unreachable",
    });
    expect(observed.capabilities).toEqual(managed.capabilities);
  });

  it("keeps what a configuration has of secrets sealed, and only under its own name", () => {
    const key = "-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2VwBCIEIA\n-----END PRIVATE KEY-----\n";
    const config = { uri: "qemu+tls://host/system", ca: "ca", tls: { cert: "c", key }, odd: key };
    const { open, secrets } = splitSecrets(config);
    expect(JSON.stringify(open)).not.toContain("MC4CAQ");
    const sealed = registry.seal("a", secrets);
    expect(registry.configOf({ name: "a", config: open, sealed })).toEqual(config);
    expect(() => registry.configOf({ name: "b", config: open, sealed })).toThrow("cannot be opened");
    expect(sealed!.includes("MC4CAQ")).toBe(false);
    expect(() => splitSecrets({ list: [key] })).toThrow("member of its own");
  });

  it("names the kinds there are when one is unknown", () => {
    expect(() => registry.openProvider({ ...row(1), provider: "vsphere" })).toThrowError(
      expect.objectContaining({ code: "invalid_input", detail: [expect.objectContaining({ constraint: "a provider is one of sim" })] }),
    );
  });
});
