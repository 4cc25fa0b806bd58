import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { parse } from "yaml";
import { parseOffering } from "#domain/blueprint.ts";
import { renderBlueprint } from "#domain/blueprint-render.ts";
import { layers, type Fact } from "#domain/fact.ts";
import type { LayerFacts, LayerMachine, LayerOrder } from "#domain/layer-facts.ts";
import { endpointImpact, exposureImpact, machineImpact, secretImpact, segmentImpact } from "#domain/layer-impact.ts";
import { layerView } from "#domain/layer-render.ts";
import { vappLayersSchema, type LayerItem, type VappLayers } from "#domain/layer-view.ts";

const offering = parseOffering(
  parse(`
offering: shop
version: 1.0.0
summary: A shop
parameters:
  primary: { type: integer, minimum: 0, maximum: 1, default: 0 }
vapp:
  segments: { front: {}, back: { isolated: true } }
  secrets: { app: { generate: 32 }, unused: { generate: 32 } }
  tiers:
    db:    { image: pg, size: small, count: 2, kind: vm, segments: [back], volumes: { data: 2 GiB }, health: { tcp: 5432 },
             config: { primary: "\${tier.db[primary].address}" } }
    web:   { image: shop-web, size: tiny, count: 2, kind: container, segments: [front, back], after: [db], health: { http: ":80/health" },
             config: { db: "\${tier.db[primary].address}", password: "\${secret.app}" } }
    proxy: { image: balancer, size: tiny, count: 1, kind: container, segments: [front], after: [web], expose: [80],
             balance: { tier: web, port: 80, health: /health } }
  access: { ssh: none, console: owner }
  security: { exposure: [proxy:80] }
  management: { lease: 30d }
`),
);

const at = Date.UTC(2026, 10, 23, 12);
const seenAt = new Date(at - 3_000).toISOString();
const blueprint = renderBlueprint(offering, {});
const deployment: LayerOrder = {
  id: "ord_1",
  run: "run_1",
  process: "deploy",
  principal: "ann",
  policy: "permit: policy admin",
  state: "succeeded",
  createdAt: at - 3_600_000,
  generation: 1,
};
const resize: LayerOrder = { ...deployment, id: "ord_2", run: "run_2", process: "resize", createdAt: at - 60_000, generation: 2 };

function fact(layer: Fact["layer"], name: string, value: Fact["value"], source = "libvirt:local", observedAt = seenAt): Fact {
  return { layer, name, value, source, observedAt };
}

function machine(name: string, change: Partial<LayerMachine> = {}): LayerMachine {
  const rendered = blueprint.machines.find((one) => one.name === name)!;
  const addresses = rendered.segments.map((segment, index) => ({
    segment,
    address: `10.64.${segment === "front" ? 0 : 1}.${10 + rendered.index}`,
    mac: `02:00:00:00:0${index}:${name.length}${rendered.index}`,
  }));
  const kind = rendered.kind === "vm" ? "vm" : "container";
  return {
    id: `mach_${name}`,
    name,
    tier: rendered.tier,
    ordinal: rendered.index,
    kind,
    desired: "running",
    state: "running",
    stateAt: at - 3_500_000,
    unhealthySince: null,
    image: rendered.image,
    imageDigest: "a".repeat(64),
    size: rendered.size,
    vcpus: 1,
    memoryMiB: 256,
    volumes: rendered.volumes,
    segments: rendered.segments,
    health: rendered.health,
    reason: "strong isolation asks for a VM",
    endpoint: kind === "vm" ? "hypervisor" : "containers",
    provider: kind === "vm" ? "libvirt" : "lxd",
    externalName: `s1-${name}`,
    addresses,
    facts: [
      fact("processing", "power", "running"),
      fact("processing", "vcpus", 1),
      fact("processing", "memoryMiB", 256),
      fact("storage", "volumes", [...rendered.volumes]),
      fact(
        "network",
        "nics",
        addresses.map(({ mac, segment }) => ({ mac, attachment: `br-${segment}` })),
      ),
      ...(rendered.health === null ? [] : [fact("application", "health", "healthy", "probe")]),
      ...(rendered.tier === "proxy" ? [fact("application", "members", ["web-0", "web-1"], "balancer:proxy-0")] : []),
    ],
    ...change,
  };
}

const names = blueprint.machines.map(({ name }) => name);

function factsOf(change: Partial<LayerFacts> = {}): LayerFacts {
  const endpoint = { state: "ready", checkedAt: at - 5_000, console: true, channel: true } as const;
  return {
    at,
    vapp: {
      id: "vapp_1",
      name: "shop",
      project: "default",
      desired: "running",
      state: "active",
      generation: 2,
      createdAt: at - 3_600_000,
      deleteAt: null,
      costPerHour: "0.05",
      currency: "EUR",
      run: null,
      facts: [],
    },
    offering,
    blueprint,
    machines: names.map((name) => machine(name)),
    segments: [
      {
        name: "front",
        isolated: false,
        externalName: "s1",
        prefix: "10.64.0.0/24",
        attachment: "br-front",
        facts: [segmentFact("10.64.0.0/24", false)],
      },
      {
        name: "back",
        isolated: true,
        externalName: "s2",
        prefix: "10.64.1.0/24",
        attachment: "br-back",
        facts: [segmentFact("10.64.1.0/24", true)],
      },
    ],
    exposures: [
      {
        name: "proxy-0-80",
        machine: "proxy-0",
        segment: "front",
        targetPort: 80,
        address: "127.0.0.1",
        port: 8080,
        facts: [fact("network", "exposure", { listen: "127.0.0.1:8080", target: "10.64.0.10:80" }, "agent:here")],
      },
    ],
    snapshots: [],
    secrets: [
      { name: "app", createdAt: at - 3_600_000 },
      { name: "unused", createdAt: at - 3_600_000 },
    ],
    endpoints: [
      { ...endpoint, name: "hypervisor", provider: "libvirt" },
      { ...endpoint, name: "containers", provider: "lxd" },
    ],
    grants: [
      { principal: "ann", role: "member" },
      { principal: "bob", role: "member" },
      { principal: "root", role: "admin" },
      { principal: "reconciler", role: "automation" },
    ],
    orders: [resize, deployment],
    setBy: [
      { kind: "machine.ensure", subject: "db-0", order: deployment },
      { kind: "machine.resize", subject: "db-0", order: resize },
    ],
    configured: names.map((name) => ({ machine: name, generation: 1, at: at - 3_400_000, run: "run_1" })),
    ledger: names.map((name) => ({ resource: `mach_${name}`, name, state: "running", at: at - 3_500_000 })),
    ...change,
  };
}

function segmentFact(prefix: string, isolated: boolean): Fact {
  return fact("network", "segment", { prefix, isolated, attachment: "br" }, "agent:here");
}

/** The shop with one machine otherwise. */
function withMachine(name: string, change: Partial<LayerMachine>): LayerFacts {
  return factsOf({ machines: names.map((one) => machine(one, one === name ? change : {})) });
}

function without(name: string, layer: string, factName: string, value?: Fact["value"], observedAt = seenAt): LayerFacts {
  const kept = machine(name).facts.filter((one) => !(one.layer === layer && one.name === factName));
  const added = value === undefined ? [] : [fact(layer as Fact["layer"], factName, value, "probe", observedAt)];
  return withMachine(name, { facts: [...kept, ...added] });
}

function find(view: VappLayers, layer: string, subject: string, name: string): LayerItem {
  return view.layers.find((one) => one.layer === layer)!.items.find((one) => one.subject.name === subject && one.name === name)!;
}
const stateOf = (view: VappLayers, layer: string) => view.layers.find((one) => one.layer === layer)!.state;

describe("layerView", () => {
  test("all seven layers, always in the same order, and as the schema says", () => {
    const view = layerView(factsOf());
    expect(view.layers.map(({ layer }) => layer)).toEqual([...layers]);
    expect(vappLayersSchema.parse(view)).toEqual(view);
    expect(view.layers.filter(({ state }) => state === "as desired").map(({ layer }) => layer)).toEqual(
      layers.filter((layer) => layer !== "management"),
    );
  });

  test("what is declared and nobody has carried out is not known, never as desired", () => {
    const view = layerView(factsOf());
    expect(stateOf(view, "management")).toBe("unknown");
    expect(find(view, "management", "shop", "lease")).toMatchObject({ desired: "30d", observed: null, agrees: null });
  });

  test("a hung machine differs in the application layer and nowhere else", () => {
    const facts = without("web-1", "application", "health", "unhealthy");
    const hung = { ...facts, machines: facts.machines.map((one) => (one.name === "web-1" ? { ...one, unhealthySince: at - 9_000 } : one)) };
    const view = layerView(hung);
    expect(find(view, "application", "web-1", "health")).toMatchObject({
      desired: "healthy",
      observed: `unhealthy since ${new Date(at - 9_000).toISOString()}`,
      agrees: false,
      source: "probe",
    });
    expect(stateOf(view, "application")).toBe("differs");
    expect(view.layers.find(({ layer }) => layer === "application")!.summary).toContain("not as desired: health of web-1");
    expect(stateOf(view, "processing")).toBe("as desired");
  });

  test("a fact that is too old makes its layer unknown; a layer nobody looked at is unknown too", () => {
    const old = layerView(without("db-0", "application", "health", "healthy", new Date(at - 120_000).toISOString()));
    expect(find(old, "application", "db-0", "health")).toMatchObject({ agrees: true, stale: true });
    expect(stateOf(old, "application")).toBe("unknown");
    expect(stateOf(layerView(without("db-0", "processing", "vcpus")), "processing")).toBe("unknown");
  });

  test("a machine that is missing says so; what was measured of it before counts no more", () => {
    const view = layerView(withMachine("web-0", { state: "missing", stateAt: at - 1_000 }));
    expect(find(view, "processing", "web-0", "power")).toMatchObject({ desired: "running", observed: "missing", agrees: false });
    expect(find(view, "processing", "web-0", "vcpus")).toMatchObject({ observed: null, agrees: null });
    expect(find(view, "network", "web-0", "front address")).toMatchObject({ observed: null });
  });

  test("a NIC that was taken away, a volume that is gone, an exposure that is closed", () => {
    const [mac] = machine("db-0").addresses.map((address) => address.mac);
    const nic = layerView(without("db-0", "network", "nics", []));
    expect(find(nic, "network", "db-0", "back address")).toMatchObject({ observed: `NIC ${mac} lost`, agrees: false });
    const volume = layerView(without("db-0", "storage", "volumes", []));
    expect(find(volume, "storage", "db-0/data", "sizeMiB")).toMatchObject({ desired: 2048, observed: "missing", agrees: false });
    const larger = layerView(without("db-0", "storage", "volumes", [{ name: "data", sizeMiB: 4096 }]));
    expect(find(larger, "storage", "db-0/data", "sizeMiB")).toMatchObject({ observed: 4096, agrees: true });
    const [exposure] = factsOf().exposures;
    const closed = layerView(factsOf({ exposures: [{ ...exposure!, facts: [fact("network", "exposure", "missing", "agent:here")] }] }));
    expect(find(closed, "network", "proxy-0-80", "way in")).toMatchObject({ observed: "missing", agrees: false });
    expect(find(closed, "security", "shop", "open to outside")).toMatchObject({ desired: ["proxy:80"], observed: [], agrees: false });
  });

  test("a segment that lost its isolation is a matter of security", () => {
    const [front, back] = factsOf().segments;
    const view = layerView(factsOf({ segments: [front!, { ...back!, facts: [segmentFact("10.64.1.0/24", false)] }] }));
    expect(find(view, "security", "back", "isolated")).toMatchObject({ desired: true, observed: false, agrees: false });
    expect(stateOf(view, "security")).toBe("differs");
    expect(stateOf(view, "network")).toBe("as desired");
  });

  test("the members a balancer has in rotation are compared with those that shall be", () => {
    const view = layerView(without("proxy-0", "application", "members", ["web-0"]));
    expect(find(view, "application", "proxy-0", "members of web")).toMatchObject({
      subject: { kind: "balancer", name: "proxy-0" },
      desired: ["web-0", "web-1"],
      observed: ["web-0"],
      agrees: false,
    });
  });

  test("a machine that started again since it was configured has lost its configuration", () => {
    const view = layerView(withMachine("web-0", { stateAt: at - 1_000 }));
    expect(find(view, "application", "web-0", "configuration")).toMatchObject({
      desired: "generation 1",
      observed: "lost: it started again since generation 1",
      agrees: false,
    });
  });

  test("why names the order that set this very value", () => {
    const view = layerView(factsOf());
    expect(find(view, "processing", "db-0", "vcpus").why).toMatchObject({ order: "ord_2", process: "resize", principal: "ann" });
    expect(find(view, "processing", "db-0", "power").why).toMatchObject({
      order: "ord_1",
      process: "deploy",
      policy: "permit: policy admin",
    });
    expect(find(view, "processing", "db-0", "kind").why?.text).toBe("strong isolation asks for a VM");
    expect(find(view, "processing", "web-0", "vcpus").why).toMatchObject({ order: "ord_1" });
  });

  test("who may come in: the owner and admins, never a service", () => {
    const view = layerView(factsOf());
    expect(find(view, "access", "shop", "console")).toMatchObject({ desired: "owner", observed: ["ann", "root"], agrees: true });
    expect(find(view, "access", "shop", "ssh")).toMatchObject({ desired: "none", observed: "nobody", agrees: true });
    const locked = layerView(factsOf({ grants: [{ principal: "reconciler", role: "automation" }] }));
    expect(find(locked, "access", "shop", "console")).toMatchObject({ observed: [], agrees: false });
  });

  test("of a secret there is a name and an age; one that is not kept differs", () => {
    const view = layerView(factsOf({ secrets: [{ name: "app", createdAt: at - 3_600_000 }] }));
    expect(find(view, "security", "app", "kept sealed")).toMatchObject({ observed: "since 2026-11-23T11:00:00.000Z", agrees: true });
    expect(find(view, "security", "unused", "kept sealed")).toMatchObject({ observed: "missing", agrees: false });
  });

  test("a layer declared none says so, shows what there is all the same, and still differs when it does", () => {
    const bare: LayerFacts = { ...factsOf(), offering: { ...offering, vapp: { ...offering.vapp, management: "none", access: "none" } } };
    const view = layerView(bare);
    expect(stateOf(view, "management")).toBe("none");
    expect(stateOf(view, "access")).toBe("none");
    expect(view.layers.find(({ layer }) => layer === "management")!.summary).toContain("declared none");
    expect(find(view, "management", "hypervisor", "state")).toMatchObject({ observed: "ready", agrees: true });
    const down = layerView({ ...bare, endpoints: bare.endpoints.map((one) => ({ ...one, state: "unreachable" as const })) });
    expect(stateOf(down, "management")).toBe("differs");
  });

  test("any mixture of what was seen and what was not gives a valid view that never claims what nobody saw", () => {
    const all = factsOf();
    const indexes = all.machines.flatMap((one, m) => one.facts.map((_, f) => `${m}/${f}`));
    fc.assert(
      fc.property(fc.subarray(indexes), fc.constantFrom("running", "missing", "stopped", "planned", "crashed"), (dropped, state) => {
        const machines = all.machines.map((one, m) => ({
          ...one,
          state,
          facts: one.facts.filter((_, f) => !dropped.includes(`${m}/${f}`)),
        }));
        const view = vappLayersSchema.parse(layerView({ ...all, machines }));
        for (const { state: said, items } of view.layers) {
          for (const one of items) expect((one.observed === null) === (one.source === null)).toBe(true);
          if (said === "as desired")
            expect(items.every((one) => one.desired === null || (one.observed !== null && one.agrees !== false))).toBe(true);
          if (said === "differs") expect(items.some((one) => one.agrees === false)).toBe(true);
        }
      }),
    );
  });
});

describe("impact", () => {
  const graph = factsOf();
  const of = (name: string, facts = graph) =>
    machineImpact(
      facts,
      facts.machines.find((one) => one.name === name)!,
    );

  test("a member of a balanced tier: the others take over, until it is the last", () => {
    expect(of("web-0")).toBe("proxy goes on with web-1");
    expect(of("web-0", withMachine("web-1", { state: "crashed" }))).toBe(
      "the last member of web that runs: proxy has nowhere to send requests; nothing of web is left to proxy, which depends on it",
    );
    const hung = without("web-1", "application", "health", "unhealthy");
    expect(of("web-0", hung)).toContain("the last member of web that runs");
  });

  test("the machine whose address is in configurations, by the parameter that points at it, and its only copy of data", () => {
    expect(of("db-0")).toBe(
      "db and web are configured with its address and with no other; volume data exists only here, no snapshot holds it",
    );
    expect(of("db-1")).toBe("volume data exists only here, no snapshot holds it");
    const promoted = { ...graph, blueprint: renderBlueprint(offering, { primary: 1 }) };
    expect(of("db-1", promoted)).toContain("db and web are configured with its address");
    expect(of("db-0", promoted)).not.toContain("configured");
  });

  test("a snapshot is the copy to go back to, the newest of those that are there", () => {
    const taken = (name: string, takenAt: number, state = "realised") => ({ name, state, machines: ["db-0"], takenAt });
    const facts = factsOf({ snapshots: [taken("older", at - 9_000), taken("newer", at - 5_000), taken("planned", at, "planned")] });
    expect(of("db-0", facts)).toContain("volume data is as of snapshot newer again, what was written since is lost");
    expect(of("db-1", facts)).toContain("no snapshot holds it");
  });

  test("the only way in, and another one", () => {
    expect(of("proxy-0")).toBe("requests to web pass through it alone; the only way in (port 80): nobody outside reaches the vApp");
    expect(exposureImpact(graph, "proxy-0-80")).toBe("the only way in: nobody outside reaches the vApp");
    const second = { ...graph.exposures[0]!, name: "web-0-80", machine: "web-0" };
    const two = { ...graph, exposures: [...graph.exposures, second] };
    expect(exposureImpact(two, "proxy-0-80")).toBe("the way in by web-0-80 remains");
    const dead = { ...withMachine("web-0", { state: "crashed" }), exposures: two.exposures };
    expect(exposureImpact(dead, "proxy-0-80")).toBe("the only way in: nobody outside reaches the vApp");
  });

  test("the whole chain that comes after the last machine of a tier", () => {
    const facts = withMachine("db-1", { state: "stopped" });
    expect(of("db-0", facts)).toContain("nothing of db is left to web and proxy, which depend on it");
  });

  test("segments, endpoints and secrets", () => {
    expect(segmentImpact(graph, "front")).toBe(
      "web-0, web-1 and proxy-0 no longer reach each other over it; proxy-0 is on no other segment; no way in by proxy-0-80",
    );
    expect(endpointImpact(graph, "hypervisor")).toBe("db-0 and db-1 are on it; all of db would be gone");
    expect(endpointImpact(graph, "elsewhere")).toBeNull();
    expect(secretImpact(graph, "app")).toBe("web cannot be configured without it");
    expect(secretImpact(graph, "unused")).toBeNull();
    expect(secretImpact(graph, "ap")).toBeNull();
  });
});
