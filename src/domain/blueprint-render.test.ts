import { readFileSync } from "node:fs";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { parse } from "yaml";
import { parseOffering } from "#domain/blueprint.ts";
import { reachableAddress, renderBlueprint, renderConfig } from "#domain/blueprint-render.ts";
import { AppError } from "#domain/error.ts";

const offering = parseOffering(
  parse(`
offering: shop
version: 1.0.0
summary: A shop
parameters:
  web: { type: integer, minimum: 1, maximum: 6, default: 2 }
  greeting: { type: string, maxLength: 20, default: hello }
vapp:
  segments: { front: {}, back: { isolated: true } }
  secrets: { app: { generate: 32 } }
  tiers:
    proxy: { image: haproxy, size: tiny, kind: auto, segments: [front], after: [web], expose: [80], config: { text: "\${greeting} \${size(tier.web)}" } }
    web:   { image: "shop-\${greeting}", size: tiny, count: "\${web}", kind: auto, segments: [front, back], after: [db], health: { http: ":80/health" },
             config: { db: "\${tier.db.0.address}", password: "\${secret.app}", port: 80, me: "\${self.address}" }, scale: { min: 1, max: 4 } }
    db:    { image: pg, size: small, count: 2, kind: vm, segments: [back], volumes: { data: 2 GiB }, spread: host, health: { tcp: 5432 },
             config: { role: "\${self.index == 0 ? 'primary' : 'standby'}", webs: "\${tier.web.map(m, m.address).join(',')}" } }
  access: none
  security: { exposure: [proxy:80] }
  management: none
`),
);

function refusal(run: () => unknown) {
  try {
    run();
  } catch (error) {
    expect(error).toBeInstanceOf(AppError);
    return (error as AppError).detail[0]!;
  }
  throw new Error("was not refused");
}

const addresses = {
  "db-0": { back: "10.0.1.2" },
  "db-1": { back: "10.0.1.3" },
  "web-0": { front: "10.0.0.4", back: "10.0.1.4" },
  "web-1": { front: "10.0.0.5", back: "10.0.1.5" },
  "proxy-0": { front: "10.0.0.6" },
};

describe("renderBlueprint", () => {
  const rendered = renderBlueprint(offering, {});

  test("expands tiers to machines in start order", () => {
    expect(rendered.machines.map((machine) => machine.name)).toEqual(["db-0", "db-1", "web-0", "web-1", "proxy-0"]);
    expect(rendered.startSequence).toEqual([["db"], ["web"], ["proxy"]]);
    expect(rendered.machines[0]).toEqual({
      name: "db-0",
      tier: "db",
      index: 0,
      image: "pg",
      size: "small",
      kind: "vm",
      goal: {},
      segments: ["back"],
      volumes: [{ name: "data", sizeMiB: 2048 }],
      spreadGroup: "db",
      health: { tcp: 5432 },
    });
    expect(rendered.machines[2]).toMatchObject({ image: "shop-hello", health: { http: { port: 80, path: "/health" } }, spreadGroup: null });
    expect(rendered.exposures).toEqual([{ name: "proxy-0-80", machine: "proxy-0", segment: "front", port: 80 }]);
    expect(rendered.segments).toContainEqual({ name: "back", isolated: true });
  });

  test("is plain JSON that renders the same after storage", () => {
    const stored = JSON.parse(JSON.stringify(rendered)) as typeof rendered;
    expect(stored).toEqual(rendered);
    expect(renderConfig(stored, { addresses })).toEqual(renderConfig(rendered, { addresses }));
  });

  test("takes a scaled count within the tier's scale", () => {
    expect(renderBlueprint(offering, {}, { counts: { web: 4 } }).machines.filter((machine) => machine.tier === "web")).toHaveLength(4);
    expect(refusal(() => renderBlueprint(offering, {}, { counts: { web: 9 } }))).toMatchObject({ nearest: "use 4" });
    expect(refusal(() => renderBlueprint(offering, { web: 5 })).constraint).toContain("1 to 4");
  });

  test("refuses parameters with constraint, source and nearest", () => {
    expect(refusal(() => renderBlueprint(offering, { web: 9 }))).toEqual({
      constraint: "web must be a whole number from 1 to 6, not 9",
      source: "offering shop 1.0.0, parameters.web",
      nearest: "use 6",
    });
    expect(refusal(() => renderBlueprint(offering, { wep: 2 })).nearest).toBe('use "web"');
    expect(refusal(() => renderBlueprint(offering, { greeting: "x".repeat(21) })).nearest).toBe("remove 1 characters");
    // The rendered name of an image is checked like a written one.
    expect(refusal(() => renderBlueprint(offering, { greeting: "../x" })).source).toContain("vapp.tiers.web.image");
  });

  test("refuses at plan time what could only fail in the run", () => {
    const broken = (text: string) => ({
      ...offering,
      vapp: { ...offering.vapp, tiers: { ...offering.vapp.tiers, proxy: { ...offering.vapp.tiers["proxy"]!, config: { x: text } } } },
    });
    expect(refusal(() => renderBlueprint(broken("${tier.web.5.address}"), {})).source).toBe(
      "offering shop 1.0.0, vapp.tiers.proxy.config.x",
    );
    // The proxy shares no segment with the database, so an address of it would be of no use to the proxy.
    expect(refusal(() => renderBlueprint(broken("${tier.db.0.address}"), {})).constraint).toContain("No such key: address");
    expect(refusal(() => renderBlueprint(broken("${secret.nope}"), {})).nearest).toContain("app");
  });
});

test("renderConfig puts addresses in and leaves secrets as references", () => {
  expect(renderConfig(renderBlueprint(offering, { web: "2" }), { addresses })).toEqual({
    "db-0": { role: "primary", webs: "10.0.1.4,10.0.1.5" },
    "db-1": { role: "standby", webs: "10.0.1.4,10.0.1.5" },
    "web-0": { db: "10.0.1.2", password: { $secret: "app" }, port: 80, me: "10.0.0.4" },
    "web-1": { db: "10.0.1.2", password: { $secret: "app" }, port: 80, me: "10.0.0.5" },
    "proxy-0": { text: "hello 2" },
  });
});

test("the address of another machine is the one on a shared segment", () => {
  expect(reachableAddress(["back"], addresses["web-0"])).toBe("10.0.1.4");
  expect(reachableAddress(["front", "back"], addresses["web-0"])).toBe("10.0.0.4");
  expect(reachableAddress(["front"], addresses["db-0"])).toBeUndefined();
});

test("tiny renders to a node and an edge that names it", () => {
  const tiny = parseOffering(parse(readFileSync(new URL("../../offerings/tiny.yaml", import.meta.url), "utf8")));
  const rendered = renderBlueprint(tiny, {});
  expect(rendered.machines.map((machine) => [machine.name, machine.kind])).toEqual([
    ["node-0", "vm"],
    ["edge-0", "container"],
  ]);
  const config = renderConfig(rendered, { addresses: { "node-0": { lan: "10.0.0.2" }, "edge-0": { lan: "10.0.0.3" } } });
  expect(config["edge-0"]).toEqual({ token: { $secret: "token" }, upstream: "node" });
});

test("property: any allowed parameters give that many machines, each name once, deterministically", () => {
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 4 }), fc.stringMatching(/^[a-z0-9]{0,20}$/), (web, greeting) => {
      const rendered = renderBlueprint(offering, { web, greeting });
      expect(rendered.machines).toHaveLength(web + 3);
      expect(new Set(rendered.machines.map((machine) => machine.name)).size).toBe(web + 3);
      expect(renderBlueprint(offering, { greeting, web })).toEqual(rendered);
    }),
    { numRuns: 50 },
  );
});
