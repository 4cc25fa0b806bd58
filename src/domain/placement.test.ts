import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { place } from "#domain/placement.ts";
import type { PlacementInput } from "#domain/placement.ts";
import { tcgOverheadMiB } from "#domain/placement-candidate.ts";
import type { PlacementEndpoint, PlacementMachine } from "#domain/placement-candidate.ts";

function endpoint(name: string, change: Partial<PlacementEndpoint> = {}): PlacementEndpoint {
  return {
    id: `id-${name}`,
    name,
    siteId: "here",
    hostName: `host-${name}`,
    machineKinds: ["vm"],
    imageFormats: ["qcow2"],
    freeVcpus: 8,
    freeMemoryMiB: 4096,
    accelerator: "tcg",
    overheadMiBPerVm: tcgOverheadMiB,
    state: "ready",
    costPerHour: null,
    ...change,
  };
}

function machine(name: string, change: Partial<PlacementMachine> = {}): PlacementMachine {
  return { name, kind: "vm", goal: {}, vcpus: 1, memoryMiB: 128, spreadGroup: null, imageFormats: ["qcow2"], ...change };
}

/** The test's own idea of a host, so that a wrong one in the code is noticed. */
function hostOf(at: PlacementEndpoint): string {
  return JSON.stringify([at.siteId, at.hostName]);
}

const lxd = endpoint("lxd", { machineKinds: ["container"], imageFormats: ["lxd"], accelerator: "none", overheadMiBPerVm: 0 });
const both: Partial<PlacementMachine> = { kind: "auto", imageFormats: ["qcow2", "lxd"] };

describe("the kind follows from the goal and says why", () => {
  test.each([
    ["strong isolation", { isolation: "strong" }, "vm", "strong isolation"],
    ["density", { density: "high" }, "container", "the goal is density"],
    ["no goal", {}, "container", "asks for no strong isolation"],
    ["isolation before density", { isolation: "strong", density: "high" }, "vm", "strong isolation"],
  ] as const)("%s", (_name, goal, kind, words) => {
    const [assignment] = place({ machines: [machine("a", { ...both, goal })], endpoints: [endpoint("lv"), lxd] }).assignments;
    expect(assignment).toMatchObject({ kind, imageFormat: kind === "vm" ? "qcow2" : "lxd" });
    expect(assignment!.reason).toContain(words);
    expect(assignment!.considered.map((one) => one.verdict).sort()).toEqual(
      kind === "vm" ? ["chosen", "rejected"] : ["chosen", "possible"],
    );
  });

  test("a VM is the second choice where no container is possible, and it says so", () => {
    const [assignment] = place({ machines: [machine("a", both)], endpoints: [endpoint("lv")] }).assignments;
    expect(assignment).toMatchObject({ kind: "vm" });
    expect(assignment!.reason).toContain("no endpoint can take one");
  });
});

describe("choice among endpoints", () => {
  test.each([
    ["hardware virtualization", endpoint("a"), endpoint("b", { accelerator: "kvm" }), "hardware virtualization"],
    ["price", endpoint("a", { costPerHour: 2 }), endpoint("b", { costPerHour: 1 }), "a lower price (1 against 2 an hour)"],
    ["free memory", endpoint("a"), endpoint("b", { freeMemoryMiB: 5000 }), "more free memory (5000 against 4096 MiB)"],
  ])("%s decides", (_name, loser, winner, words) => {
    const [assignment] = place({ machines: [machine("m")], endpoints: [loser, winner] }).assignments;
    expect(assignment!.endpointId).toBe(winner.id);
    expect(assignment!.reason).toContain(`preferred to a because of ${words}`);
  });

  test("machines of a group go to different hosts, counting those already there", () => {
    const machines = ["db-0", "db-1"].map((name) => machine(name, { spreadGroup: "db" }));
    const endpoints = [endpoint("a", { freeMemoryMiB: 9000 }), endpoint("b"), endpoint("c")];
    const hosts = place({ machines, endpoints }).assignments.map((one) => one.endpointId);
    expect(hosts).toEqual(["id-a", "id-b"]);
    const [third] = place({
      machines: [machine("db-2", { spreadGroup: "db" })],
      endpoints,
      placed: hosts.map((endpointId) => ({ spreadGroup: "db", endpointId })),
    }).assignments;
    expect(third!.endpointId).toBe("id-c");
  });

  test("a group larger than the hosts is crowded with a word about it, or refused when spreading is required", () => {
    const machines = ["db-0", "db-1"].map((name) => machine(name, { spreadGroup: "db" }));
    const crowded = place({ machines, endpoints: [endpoint("a")] });
    expect(crowded.assignments[1]!.reason).toContain("could not be spread further");
    expect(place({ machines, endpoints: [endpoint("a")], rules: { spreadRequired: true } }).refusals).toEqual([
      {
        constraint: "db-1 cannot be placed: host-a already runs 1 of group db",
        source: "endpoint a",
        nearest: "add a host to the site, or use a smaller count",
      },
    ]);
  });

  test("two endpoints of one host share its memory, and the lower of their figures counts", () => {
    const shared = { hostName: "one", freeMemoryMiB: 700 };
    const endpoints = [endpoint("lv", shared), { ...lxd, ...shared, freeMemoryMiB: 4096 }];
    const machines = [machine("vm"), machine("c", { kind: "container", imageFormats: ["lxd"] })];
    expect(place({ machines, endpoints })).toMatchObject({
      refusals: [{ nearest: "use a size with at most 122 MiB, or free 6 MiB on one" }],
    });
    expect(place({ machines: machines.map((one) => ({ ...one, memoryMiB: 120 })), endpoints }).refusals).toEqual([]);
  });

  test("a vApp stays in one site, the one that can take all of it", () => {
    const machines = [machine("a"), machine("b", { kind: "container", imageFormats: ["lxd"] })];
    const endpoints = [endpoint("aa", { siteId: "half" }), endpoint("lv"), lxd];
    const placement = place({ machines, endpoints });
    expect(placement).toMatchObject({ siteId: "here", refusals: [] });
    expect(place({ machines, endpoints, rules: { sites: { ids: ["half"], source: "policy p1" } } })).toMatchObject({
      siteId: "half",
      refusals: [{ nearest: "register an endpoint for containers" }],
    });
    expect(place({ machines, endpoints, rules: { sites: { ids: ["elsewhere"], source: "policy p1" } } }).refusals).toEqual([
      {
        constraint: "only the sites elsewhere are allowed and none of them has an endpoint",
        source: "policy p1",
        nearest: "allow one of the sites with endpoints: half, here",
      },
    ]);
  });
});

describe("refusals", () => {
  test.each([
    [
      "memory with overhead",
      endpoint("a", { freeMemoryMiB: 500 }),
      "it needs 578 MiB (128 and 450 overhead of a VM) and host-a has 500 MiB free",
      "use a size with at most 50 MiB, or free 78 MiB on host-a",
    ],
    ["no memory at all", endpoint("a", { freeMemoryMiB: 100 }), "has 100 MiB free", "free 478 MiB on host-a"],
    ["vCPUs", endpoint("a", { freeVcpus: 0 }), "it needs 1 vCPU and host-a has 0 free", "free 1 vCPU on host-a"],
    ["state", endpoint("a", { state: "unreachable" }), "a is unreachable", "bring a back to ready"],
    ["mode", endpoint("a", { state: "observed" }), "a is only observed", "name another site, or have a added again without --observe"],
    ["format", endpoint("a", { imageFormats: ["sim"] }), "the image exists as qcow2 and a needs sim", "build the image as sim"],
    ["kind", lxd, "lxd does not realise VMs", "register an endpoint for VMs"],
  ])("%s", (_name, only, constraint, nearest) => {
    const { refusals, assignments } = place({ machines: [machine("m")], endpoints: [only] });
    expect(assignments).toEqual([]);
    expect(refusals[0]!.constraint).toContain(constraint);
    expect(refusals[0]!.nearest).toBe(nearest);
  });

  test("the obstacle closest to success is the one named", () => {
    const endpoints = [lxd, endpoint("a", { freeMemoryMiB: 100 }), endpoint("b", { freeMemoryMiB: 570 })];
    expect(place({ machines: [machine("m")], endpoints }).refusals[0]!.source).toBe("endpoint b");
    expect(place({ machines: [machine("m")], endpoints: [] }).refusals).toHaveLength(1);
  });
});

const machinesArbitrary = fc.uniqueArray(
  fc.record({
    name: fc.constantFrom(..."abcdefghij"),
    kind: fc.constantFrom("vm", "container", "auto"),
    goal: fc.constantFrom({}, { isolation: "strong" }, { density: "high" }),
    vcpus: fc.integer({ min: 1, max: 3 }),
    memoryMiB: fc.integer({ min: 64, max: 1024 }),
    spreadGroup: fc.constantFrom(null, "x", "y"),
    imageFormats: fc.subarray(["qcow2", "lxd", "sim"] as const),
  } as const),
  { selector: (one) => one.name, maxLength: 8 },
);
const endpointsArbitrary = fc.uniqueArray(
  fc
    .record({
      name: fc.constantFrom(..."pqrstu"),
      siteId: fc.constantFrom("s1", "s2"),
      hostName: fc.constantFrom("h1", "h2"),
      machineKinds: fc.subarray(["vm", "container"] as const),
      imageFormats: fc.subarray(["qcow2", "lxd", "sim"] as const),
      freeVcpus: fc.integer({ min: 0, max: 8 }),
      freeMemoryMiB: fc.integer({ min: 0, max: 4096 }),
      accelerator: fc.constantFrom("kvm", "tcg", "none"),
      overheadMiBPerVm: fc.constantFrom(0, 450),
      state: fc.constantFrom("ready", "ready", "ready", "draining", "unreachable", "observed"),
      costPerHour: fc.constantFrom(null, 1, 2),
    } as const)
    .map((one) => ({ ...one, id: `id-${one.name}` })),
  { selector: (one) => one.name, maxLength: 6 },
);
const inputArbitrary: fc.Arbitrary<PlacementInput> = fc.record({
  machines: machinesArbitrary,
  endpoints: endpointsArbitrary,
  rules: fc.record({ spreadRequired: fc.boolean() }),
});

test("property: no host is promised more than it has, and only fitting endpoints are used", () => {
  fc.assert(
    fc.property(inputArbitrary, (input) => {
      const { assignments, refusals, siteId } = place(input);
      const used = new Map<string, { vcpus: number; memoryMiB: number }>();
      for (const assignment of assignments) {
        const at = input.endpoints.find((one) => one.id === assignment.endpointId)!;
        const what = input.machines.find((one) => one.name === assignment.machine)!;
        expect(at).toMatchObject({ state: "ready", siteId });
        expect(at.machineKinds).toContain(assignment.kind);
        expect(at.imageFormats).toContain(assignment.imageFormat);
        expect(what.imageFormats).toContain(assignment.imageFormat);
        if (what.kind !== "auto") expect(assignment.kind).toBe(what.kind);
        if (what.kind === "auto" && "isolation" in what.goal) expect(assignment.kind).toBe("vm");
        const sum = used.get(hostOf(at)) ?? { vcpus: 0, memoryMiB: 0 };
        sum.vcpus += what.vcpus;
        sum.memoryMiB += what.memoryMiB + (assignment.kind === "vm" ? at.overheadMiBPerVm : 0);
        used.set(hostOf(at), sum);
        expect(assignment.considered.filter((one) => one.verdict === "chosen").map((one) => one.endpointId)).toEqual([at.id]);
        expect(assignment.considered).toHaveLength(input.endpoints.filter((one) => one.siteId === siteId).length);
      }
      for (const at of input.endpoints) {
        const sum = used.get(hostOf(at));
        if (sum === undefined) continue;
        expect(sum.vcpus).toBeLessThanOrEqual(at.freeVcpus);
        expect(sum.memoryMiB).toBeLessThanOrEqual(at.freeMemoryMiB);
      }
      // Every machine has a place or a refusal, unless there is no site at all, which is one refusal.
      if (siteId !== null) expect(assignments.length + refusals.length).toBe(input.machines.length);
      for (const refusal of refusals)
        for (const sentence of [refusal.constraint, refusal.source, refusal.nearest]) expect(sentence.length).toBeGreaterThan(3);
    }),
    { numRuns: 500 },
  );
});

test("property: the order of the facts does not matter", () => {
  fc.assert(
    fc.property(inputArbitrary, (input) => {
      const turned = { ...input, machines: [...input.machines].reverse(), endpoints: [...input.endpoints].reverse() };
      expect(place(turned)).toEqual(place(input));
    }),
    { numRuns: 300 },
  );
});

test("a machine with data volumes goes where they are kept, and the refusal says so", () => {
  const data = machine("db-0", { volumes: [{ name: "data", sizeMiB: 1024 }] });
  const bare = endpoint("bare", { volumes: false });
  expect(place({ machines: [data], endpoints: [bare, endpoint("kept", { volumes: true })] }).assignments[0]?.endpointId).toBe("id-kept");
  const refusals = place({ machines: [data], endpoints: [bare] }).refusals;
  expect(JSON.stringify(refusals)).toContain("bare keeps no data volumes");
});
