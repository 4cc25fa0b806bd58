import { readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { parse } from "yaml";
import { parseOffering } from "#domain/blueprint.ts";
import { AppError } from "#domain/error.ts";
import type { Refusal } from "#domain/error.ts";

/** The example of the architecture, which must stay valid. */
const shopYaml = `
offering: shop
version: 1.0.0
summary: Web shop on a database cluster behind a reverse proxy
parameters: { web: { type: integer, minimum: 1, maximum: 6, default: 2 } }
vapp:
  segments: { front: {}, back: { isolated: true } }
  secrets: { replication: { generate: 32 }, app: { generate: 32 } }
  tiers:
    db:    { image: postgres-15, size: small, count: 2, kind: vm, goal: { isolation: strong }, segments: [back], volumes: { data: 2 GiB },
             spread: host, health: { tcp: 5432 },
             config: { role: "\${self.index == 0 ? 'primary' : 'standby'}", primary: "\${tier.db.0.address}", replication: "\${secret.replication}" } }
    web:   { image: shop-web, size: tiny, count: "\${web}", kind: auto, segments: [front, back], after: [db], health: { http: ":80/health" },
             config: { db: "\${tier.db.0.address}", password: "\${secret.app}" }, scale: { min: 1, max: 6 } }
    proxy: { image: haproxy, size: tiny, count: 1, kind: auto, segments: [front], after: [web],
             balance: { tier: web, port: 80, health: /health }, expose: [80] }
  access: { ssh: owner, console: owner }
  security: { exposure: [proxy:80] }
  management: { lease: 30d, patch: window-weekly, snapshots: none }
  objectives: { availability: 99.5, probe: { http: "proxy:80/" } }
`;

type Document = { vapp: Record<string, unknown> & { tiers: Record<string, Record<string, unknown>> } } & Record<string, unknown>;

function shop(change: (document: Document) => void = () => undefined): unknown {
  const document = parse(shopYaml) as Document;
  change(document);
  return document;
}

function refusals(document: unknown): readonly Refusal[] {
  try {
    parseOffering(document);
  } catch (error) {
    expect(error).toBeInstanceOf(AppError);
    for (const refusal of (error as AppError).detail) {
      for (const sentence of [refusal.constraint, refusal.source, refusal.nearest]) expect(sentence).not.toBe("");
    }
    return (error as AppError).detail;
  }
  throw new Error("was not refused");
}

test("the example of the architecture and offerings/tiny.yaml are valid", () => {
  expect(Object.keys(parseOffering(shop()).vapp.tiers)).toEqual(["db", "web", "proxy"]);
  const tiny = parseOffering(parse(readFileSync(new URL("../../offerings/tiny.yaml", import.meta.url), "utf8")));
  expect(tiny.vapp.tiers["edge"]).toMatchObject({ kind: "container", expose: [80], after: ["node"] });
});

describe("the seven layers", () => {
  test.each([
    ["access", (d: Document) => delete d.vapp["access"]],
    ["application", (d: Document) => (d.vapp.tiers = {})],
    ["processing", (d: Document) => delete d.vapp.tiers["web"]!["size"]],
    ["storage", (d: Document) => delete d.vapp.tiers["db"]!["volumes"]],
    ["network", (d: Document) => delete d.vapp["segments"]],
    ["management", (d: Document) => delete d.vapp["management"]],
    ["security", (d: Document) => delete d.vapp["security"]],
  ])("an undeclared %s layer is refused by its name", (layer, change) => {
    const found = refusals(shop(change));
    expect(found.map((refusal) => refusal.constraint).join()).toContain(`the ${layer} layer is not declared`);
    expect(found[0]!.source).toContain("offering shop 1.0.0, vapp.");
  });

  test("each may be none, except application and processing", () => {
    const document = shop((d) => {
      Object.assign(d.vapp, {
        access: "none",
        storage: "none",
        segments: "none",
        management: "none",
        security: "none",
        objectives: undefined,
      });
      d.vapp.tiers = { job: { image: "job", size: "nano", kind: "auto" } };
    });
    expect(parseOffering(document).vapp.segments).toBe("none");
  });

  test("all gaps are named at once", () => {
    expect(refusals({ offering: "x", version: "1.0.0", summary: "x", vapp: {} })).toHaveLength(6);
  });
});

describe("references and fields", () => {
  test.each<[string, (d: Document) => void, string]>([
    ["an unknown segment", (d) => (d.vapp.tiers["db"]!["segments"] = ["bakc"]), 'use "back"'],
    ["an unknown tier in after", (d) => (d.vapp.tiers["web"]!["after"] = ["dbs"]), 'use "db"'],
    ["a balancer on no segment of its members", (d) => (d.vapp.tiers["proxy"]!["balance"] = { tier: "db", port: 80 }), "on one segment"],
    ["a health path with a space", (d) => (d.vapp.tiers["proxy"]!["balance"] = { tier: "web", port: 80, health: "/a b" }), ""],
    ["an unknown tier in balance", (d) => (d.vapp.tiers["proxy"]!["balance"] = { tier: "wep", port: 80 }), 'use "web"'],
    ["an unknown field", (d) => (d.vapp.tiers["web"]!["colour"] = "red"), 'remove "colour"'],
    ["an exposure security does not permit", (d) => (d.vapp["security"] = "none"), 'add "proxy:80"'],
    ["a permitted exposure nobody has", (d) => (d.vapp["security"] = { exposure: ["proxy:80", "proxy:81"] }), 'use "proxy:80"'],
    ["a probe of what is not exposed", (d) => (d.vapp["objectives"] = { probe: { tcp: "db:5432" } }), "use one of the known: proxy:80"],
    ["volumes although storage is none", (d) => (d.vapp["storage"] = "none"), "remove `storage: none`"],
    ["a default outside of its limits", (d) => (d["parameters"] = { web: { type: "integer", maximum: 6, default: 7 } }), "use 6"],
    ["a parameter with a name of CEL", (d) => (d["parameters"] = { size: { type: "integer", default: 1 } }), "expression language"],
    ["a wrong count", (d) => (d.vapp.tiers["db"]!["count"] = "many"), "a whole number from 0 to 200 or an expression"],
    ["a wrong version", (d) => (d["version"] = "1"), "matches"],
    ["a scale upside down", (d) => (d.vapp.tiers["web"]!["scale"] = { min: 4, max: 2 }), "use min 2"],
    ["a cycle", (d) => (d.vapp.tiers["db"]!["after"] = ["proxy"]), "from the after of"],
    ["itself", (d) => (d.vapp.tiers["db"]!["after"] = ["db"]), 'remove "db" from the after of "db"'],
  ])("%s is refused", (_name, change, nearest) => {
    expect(
      refusals(shop(change))
        .map((refusal) => `${refusal.constraint} ${refusal.nearest}`)
        .join("\n"),
    ).toContain(nearest);
  });

  test("what is no offering at all is refused, too", () => {
    for (const document of [null, 1, "x", [], {}, { vapp: [] }]) expect(refusals(document).length).toBeGreaterThan(0);
  });
});
