import { describe, expect, test } from "vitest";
import type { MachineSpec } from "#provider/contract.ts";
import { refusalOf } from "./failure.ts";
import { instanceDrift, instanceFacts, instancePower, instanceWish, type Instance } from "./instance.ts";
import { eventParse } from "./watch.ts";

const spec: MachineSpec = {
  name: "s123-edge-0",
  owner: { installation: "i", vapp: "v", object: "o" },
  kind: "container",
  image: { name: "strat-1", digest: "1" },
  vcpus: 2,
  memoryMiB: 64,
  nics: [
    { name: "eth0", attachment: "br0", mac: "02:00:00:00:00:01", address: "10.0.0.5", prefixLength: 24, gateway: "10.0.0.1" },
    { name: "eth1", attachment: "br1", mac: "02:00:00:00:00:02", address: "10.0.1.5", prefixLength: 24 },
  ],
  volumes: [{ name: "data", sizeMiB: 100 }],
  hostname: "edge-0",
  hosts: [{ address: "10.0.0.6", names: ["node-0", "node"] }],
};
const wish = instanceWish(spec, "fast");
const sizes = new Map([["default/fast/s123-edge-0-data", 100]]);

/** What LXD answers after it created the wish: its own keys are added. */
function created(changes: Partial<Instance> = {}): Instance {
  const config = { ...wish.config, "volatile.base_image": "1" };
  const devices = structuredClone(wish.devices) as Record<string, Record<string, string>>;
  const base = { name: spec.name, type: "container", status: "Stopped", architecture: "x86_64", ephemeral: false, profiles: [] };
  return { ...base, config, devices, expanded_config: config, expanded_devices: devices, ...changes };
}

describe("what we wish", () => {
  test("the texts of the guest contract", () => {
    expect(wish.config["user.stratiform.network"]).toBe(
      "eth0 02:00:00:00:00:01 10.0.0.5/24 10.0.0.1\neth1 02:00:00:00:00:02 10.0.1.5/24 -",
    );
    expect(wish.config["user.stratiform.hosts"]).toBe("127.0.0.1 localhost\n10.0.0.6 node-0 node");
    expect(wish.config["user.stratiform.hostname"]).toBe("edge-0");
  });

  test("an instance as created has no drift, whatever LXD added", () => {
    expect(instanceDrift(created(), wish)).toBeNull();
  });

  test("a changed limit keeps LXD's own keys and other people's devices", () => {
    const disk = { type: "disk", source: "/srv", path: "/srv" };
    const instance = created({ devices: { ...created().devices, shared: disk } });
    const body = instanceDrift(instance, instanceWish({ ...spec, memoryMiB: 128 }, "fast"));
    expect(body).toMatchObject({ config: { "limits.memory": "128MiB", "volatile.base_image": "1" }, devices: { shared: disk } });
  });

  test("a NIC that is not wished for goes away, a new one comes", () => {
    const [first] = spec.nics;
    const third = { ...first!, name: "eth2", mac: "02:00:00:00:00:03" };
    const body = instanceDrift(created(), instanceWish({ ...spec, nics: [first!, third] }, "fast"));
    expect(body).toHaveProperty("devices.eth2.hwaddr", "02:00:00:00:00:03");
    expect(body).not.toHaveProperty("devices.eth1");
  });
});

describe("what we observe", () => {
  test("facts of our own machine are what was asked for", () => {
    expect(instanceFacts(created({ status: "Running" }), sizes)).toEqual({
      name: spec.name,
      owner: spec.owner,
      kind: "container",
      power: "running",
      vcpus: 2,
      memoryMiB: 64,
      nics: spec.nics.map(({ mac, attachment }) => ({ mac, attachment })),
      volumes: spec.volumes,
      externalId: spec.name,
    });
  });

  test.each([
    [{}, 0, 0],
    [{ "limits.cpu": "0-3,7", "limits.memory": "2GiB" }, 5, 2048],
    [{ "limits.cpu": "1", "limits.memory": "50%" }, 1, 0],
    [{ "limits.memory": "1GB" }, 0, 954],
    [{ "limits.memory": "134217728" }, 0, 128],
  ])("limits of others: %o", (config: Record<string, string>, vcpus, memoryMiB) => {
    const { owner, ...facts } = instanceFacts(created({ config: {}, expanded_config: config }), sizes);
    expect(owner).toBeNull();
    expect(facts).toMatchObject({ vcpus, memoryMiB });
  });

  test.each([
    ["Frozen", "paused"],
    ["Thawed", "running"],
    ["Stopping", "unknown"],
    ["Error", "unknown"],
  ] as const)("status %s is %s", (status, power) => {
    expect(instancePower(created({ status }))).toBe(power);
  });
});

describe("events", () => {
  const event = (action: string, source: string) => JSON.stringify({ type: "lifecycle", metadata: { action, source } });

  test("a life-cycle event names the machine and its power", () => {
    expect(eventParse(event("instance-shutdown", "/1.0/instances/s1-edge-0"))).toEqual({
      type: "machine",
      name: "s1-edge-0",
      power: "stopped",
      reason: "instance-shutdown",
    });
    expect(eventParse(event("instance-deleted", "/1.0/instances/a?project=default"))).toMatchObject({ name: "a", power: "removed" });
  });

  test("others are none", () => {
    expect(eventParse(event("instance-exec", "/1.0/instances/a"))).toBeNull();
    expect(eventParse(event("instance-started", "/1.0/instances/a/snapshots/b"))).toBeNull();
    expect(eventParse(JSON.stringify({ type: "logging", metadata: {} }))).toBeNull();
  });
});

/** Texts as LXD 5.0.2 wrote them. */
test.each([
  [404, "Instance not found", "not_found"],
  [400, "Image not provided for instance creation", "not_found"],
  [409, "Instance already exists", "conflict"],
  [400, "The instance is already running", "conflict"],
  [400, "Instance is busy running a stop operation", "endpoint_busy"],
  [503, "LXD is shutting down", "endpoint_busy"],
  [400, "Command not found", "guest_failed"],
  [400, `Failed to start device "eth0": Parent device "nobr" doesn't exist`, "endpoint_refused"],
  [400, "write /x: no space left on device", "no_capacity"],
])("refusal %i %s is %s", (status, text, code) => {
  const error = refusalOf(status, text, "test");
  expect(error.code).toBe(code);
  expect(error.message).not.toContain(text);
});
