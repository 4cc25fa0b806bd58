/** Facts for tests of planners: one site with a libvirt and an LXD endpoint on one host, and the vApp that `tiny` becomes there. */
import { parseOffering, type Offering } from "#domain/blueprint.ts";
import { renderBlueprint } from "#domain/blueprint-render.ts";
import type { EndpointChoice, MachineOfVapp, PlanFacts, VappOfPlan } from "#domain/plan.ts";

export const tinyOffering: Offering = parseOffering({
  offering: "tiny",
  version: "1.0.0",
  summary: "two tiers",
  parameters: { nodes: { type: "integer", minimum: 1, maximum: 4, default: 1 } },
  vapp: {
    segments: { lan: {} },
    secrets: { token: { generate: 32 } },
    tiers: {
      node: {
        image: "tiny-node",
        size: "nano",
        count: "${nodes}",
        kind: "vm",
        segments: ["lan"],
        health: { http: ":80/health" },
        config: { token: "${secret.token}" },
      },
      edge: {
        image: "tiny-edge",
        size: "nano",
        kind: "container",
        segments: ["lan"],
        after: ["node"],
        expose: [80],
        config: { upstream: "${tier.node.0.address}" },
      },
    },
    storage: "none",
    access: "none",
    security: { exposure: ["edge:80"] },
    management: "none",
  },
});

function endpoint(over: Partial<EndpointChoice>): EndpointChoice {
  return {
    id: "e1",
    name: "libvirt",
    siteId: "s1",
    hostName: "h1",
    provider: "libvirt",
    machineKinds: ["vm"],
    imageFormats: ["qcow2"],
    state: "ready",
    accelerator: "tcg",
    liveResize: false,
    pause: true,
    snapshots: true,
    volumes: true,
    overheadMiBPerVm: 450,
    vcpus: 2,
    memoryMiB: 8_192,
    usedVcpus: 0,
    usedMemoryMiB: 0,
    ...over,
  };
}

export const deployFacts: PlanFacts = {
  vapp: null,
  offering: tinyOffering,
  images: [
    { name: "tiny-node", variants: [{ format: "qcow2", digest: "a".repeat(64), sizeBytes: 24 * 1024 * 1024 }] },
    { name: "tiny-edge", variants: [{ format: "lxd", digest: "b".repeat(64), sizeBytes: 1_000_000 }] },
  ],
  sites: [{ id: "s1", name: "local" }],
  endpoints: [
    endpoint({}),
    endpoint({ id: "e2", name: "lxd", provider: "lxd", machineKinds: ["container"], imageFormats: ["lxd"], accelerator: "none" }),
  ],
};

function machine(over: Partial<MachineOfVapp>): MachineOfVapp {
  return {
    id: "m1",
    name: "node-0",
    tier: "node",
    ordinal: 0,
    kind: "vm",
    image: "tiny-node",
    imageDigest: "a".repeat(64),
    endpointId: "e1",
    endpointName: "libvirt",
    size: "nano",
    vcpus: 1,
    memoryMiB: 128,
    storageMiB: 24,
    volumes: [],
    reason: "because",
    segments: ["lan"],
    health: { http: { port: 80, path: "/health" } },
    state: "running",
    drift: [],
    hung: false,
    ...over,
  };
}

export const tinyVapp: VappOfPlan = {
  id: "v1",
  name: "tiny",
  generation: 3,
  desired: "running",
  state: "active",
  siteId: "s1",
  tiers: [
    { name: "node", after: [] },
    { name: "edge", after: ["node"] },
  ],
  machines: [
    machine({}),
    machine({
      id: "m2",
      name: "edge-0",
      tier: "edge",
      kind: "container",
      image: "tiny-edge",
      endpointId: "e2",
      endpointName: "lxd",
      health: null,
    }),
  ],
  leaving: [],
  snapshots: [],
  offering: tinyOffering,
  parameters: {},
  blueprint: renderBlueprint(tinyOffering, {}),
  deleteAt: null,
  segments: [{ id: "g1", name: "lan", isolated: false, state: "realised" }],
  exposures: [{ id: "x1", name: "edge-0-80", machine: "edge-0", segment: "lan", port: 80, state: "realised" }],
};

export function factsWith(vapp: Partial<VappOfPlan>): PlanFacts {
  return { ...deployFacts, offering: null, vapp: { ...tinyVapp, ...vapp } };
}
