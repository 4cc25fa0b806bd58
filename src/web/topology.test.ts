import { describe, expect, test } from "vitest";
import type { Machine, Vapp } from "./query.ts";
import { boxSize, layoutOf } from "./topology-layout.ts";
import { topologyLimits, topologyOf, topologyText } from "./topology.ts";

function machine(tier: string, ordinal: number, segments: readonly string[], state: Machine["state"] = "running"): Machine {
  const addresses = segments.map((segment) => ({ segment, address: `10.0.0.${ordinal}`, mac: "02:00:00:00:00:01" }));
  const id = `machine_${tier}${ordinal}`;
  return { id, name: `${tier}-${ordinal}`, tier, ordinal, image: `image-${tier}`, state, kind: "vm", addresses } as unknown as Machine;
}

function vapp(machines: readonly Machine[]): Vapp {
  return {
    machines,
    segments: [
      { name: "front", isolated: false },
      { name: "back", isolated: true },
    ],
    exposures: [
      {
        name: "web",
        machine: "proxy-0",
        targetPort: 80,
        address: "127.0.0.1",
        port: 8080,
        url: "http://127.0.0.1:8080/",
        state: "realised",
      },
    ],
  } as unknown as Vapp;
}

const document = {
  vapp: {
    tiers: {
      db: { segments: ["back"] },
      web: { segments: ["front", "back"], after: ["db"] },
      proxy: { segments: ["front"], after: ["web"], balance: { tier: "web", port: 80 } },
    },
  },
};
const shop = (web: number) =>
  vapp([
    machine("db", 0, ["back"]),
    machine("proxy", 0, ["front"]),
    ...Array.from({ length: web }, (_, n) => machine("web", n, ["front", "back"], n === web - 1 ? "crashed" : "running")),
  ]);

describe("the topology of a vApp", () => {
  const topology = topologyOf(shop(2), document);

  test("goes from outside to inside", () => {
    expect(topology.tiers.map(({ tier, rank }) => [tier, rank])).toEqual([
      ["proxy", 1],
      ["web", 2],
      ["db", 3],
    ]);
    expect(topology.exposures.map(({ label }) => label)).toEqual(["127.0.0.1:8080"]);
  });

  test("has a line to each machine that is balanced, with its tone, and one to a tier that is needed", () => {
    expect(topology.lines.map(({ from, to, toMachine, kind, label, tone }) => [from, to, toMachine, kind, label, tone])).toEqual([
      ["exposure:web", "tier:proxy", "proxy-0", "reaches", "port 80", null],
      ["tier:proxy", "tier:web", "web-0", "balances", "balances :80 · front", "good"],
      ["tier:proxy", "tier:web", "web-1", "balances", "", "bad"],
      ["tier:web", "tier:db", null, "needs", "needs · back", null],
    ]);
  });

  test("is told in sentences", () => {
    expect(topologyText(topology)).toEqual([
      "From outside, 127.0.0.1:8080 leads to port 80 of machine proxy-0.",
      "Tier proxy, image image-proxy, in segment front: proxy-0 running.",
      "Tier web, image image-web, in segment front and back (isolated): web-0 running, web-1 crashed.",
      "Tier db, image image-db, in segment back (isolated): db-0 running.",
      "Tier proxy balances tier web.",
      "Tier web needs tier db.",
    ]);
  });

  test("of many machines draws some, those that need attention among them, and one line to all", () => {
    const { tiers, lines } = topologyOf(shop(50), document);
    const web = tiers.find(({ tier }) => tier === "web")!;
    expect(web.machines).toHaveLength(topologyLimits.machinesDrawn);
    expect(web.machines.map(({ name }) => name)).toContain("web-49");
    expect(web.machinesLeftOut).toBe(50 - topologyLimits.machinesDrawn);
    expect(lines.filter(({ kind }) => kind === "balances")).toHaveLength(1);
  });

  test.each([undefined, null, 7, {}, { vapp: { tiers: "none" } }, { vapp: { tiers: { web: { after: [1], balance: { tier: 2 } } } } }])(
    "without a document that is understood (%j) shows what is there",
    (unknown) => {
      const { tiers, lines } = topologyOf(shop(2), unknown);
      expect(tiers.map(({ tier }) => tier).toSorted()).toEqual(["db", "proxy", "web"]);
      expect(lines.map(({ kind }) => kind)).toEqual(["reaches"]);
    },
  );

  test("of tiers that need each other in a circle ends", () => {
    const circle = { vapp: { tiers: { db: { after: ["web"] }, web: { after: ["db"] } } } };
    expect(topologyOf(shop(1), circle).tiers).toHaveLength(3);
  });
});

describe("its layout", () => {
  const topology = topologyOf(shop(3), document);
  const overlaps = (width: number) => {
    const boxes = [...layoutOf(topology, width).places.values()];
    return boxes.flatMap((a, i) =>
      boxes
        .slice(i + 1)
        .filter((b) => a.x < b.x + b.width && b.x < a.x + a.width && a.y < b.y + b.height && b.y < a.y + a.height)
        .map((b) => `${a.id} ${b.id}`),
    );
  };

  test("is from left to right where there is room, else from top to bottom, and fits", () => {
    for (const [width, direction] of [
      [2000, "right"],
      [1280, "right"],
      [700, "down"],
      [340, "down"],
      [200, "down"],
    ] as const) {
      const layout = layoutOf(topology, width);
      expect(layout.direction, String(width)).toBe(direction);
      expect(layout.width * layout.zoom, String(width)).toBeLessThanOrEqual(width + 0.001);
      expect(overlaps(width)).toEqual([]);
    }
  });

  test("has a height for every machine", () => {
    const { places } = layoutOf(topology, 2000);
    const difference = places.get("tier:web")!.height - places.get("tier:db")!.height;
    expect(difference).toBe(2 * boxSize.machineHeight);
  });
});
