/**
 * Simulated sites that break one promise of a fabric each. The fabric suite is written as vitest tests, so fabric.test.ts runs it on all
 * of these in a vitest of its own and reads from the report which tests turned red.
 */
import { PassThrough } from "node:stream";
import type { CallContext } from "#domain/context.ts";
import type { FabricSubject, ProbeHost } from "#fabric/conformance.ts";
import type { ExposureRef, Fabric, SegmentRef } from "#fabric/contract.ts";
import { simFabricSubject } from "../support/sim-fabric-subject.ts";

export interface FabricSabotage {
  readonly name: string;
  /** Replaced methods of the fabric. */
  readonly fabric?: (inner: Fabric) => Partial<Fabric>;
  /** Replaced members of the site. */
  readonly site?: (inner: FabricSubject) => Partial<FabricSubject>;
  /** Beginnings of the names of the tests that must fail, below `fabric <name>`. */
  readonly red: readonly string[];
}

function sabotagedFabric(inner: Fabric, change: Partial<Fabric>): Fabric {
  return {
    kind: inner.kind,
    capabilities: inner.capabilities,
    segmentEnsure: (ctx, spec) => inner.segmentEnsure(ctx, spec),
    segmentRemove: (ctx, ref) => inner.segmentRemove(ctx, ref),
    segmentList: (ctx) => inner.segmentList(ctx),
    exposureEnsure: (ctx, spec) => inner.exposureEnsure(ctx, spec),
    exposureRemove: (ctx, ref) => inner.exposureRemove(ctx, ref),
    exposureList: (ctx) => inner.exposureList(ctx),
    reach: (ctx, target) => inner.reach(ctx, target),
    close: () => inner.close(),
    ...change,
  };
}

export function sabotagedSubject(sabotage: FabricSabotage): FabricSubject {
  const inner = simFabricSubject();
  const open = async () => {
    const fabric = await inner.open();
    return sabotagedFabric(fabric, sabotage.fabric?.(fabric) ?? {});
  };
  return { ...inner, open, ...sabotage.site?.(inner), name: sabotage.name };
}

/** Hosts whose connections go through `fetch` instead of the rules of the site. */
function wiring(fetch: (hosts: ReadonlyMap<string, ProbeHost>, address: string, port: number) => Promise<string | null>) {
  return (inner: FabricSubject): Partial<FabricSubject> => {
    const hosts = new Map<string, ProbeHost>();
    const wired = (host: ProbeHost): ProbeHost => {
      hosts.set(host.address, host);
      return { ...host, fetch: (address, port) => fetch(hosts, address, port) };
    };
    return {
      attachHost: async (segment, address) => wired(await inner.attachHost(segment, address)),
      outside: async () => wired(await inner.outside()),
    };
  };
}

async function segmentAsItsOwner(inner: Fabric, ctx: CallContext, ref: SegmentRef): Promise<SegmentRef> {
  const owner = (await inner.segmentList(ctx)).find((segment) => segment.name === ref.name)?.owner;
  return { name: ref.name, owner: owner ?? ref.owner };
}

async function exposureAsItsOwner(inner: Fabric, ctx: CallContext, ref: ExposureRef): Promise<ExposureRef> {
  const owner = (await inner.exposureList(ctx)).find((exposure) => exposure.name === ref.name)?.owner;
  return { name: ref.name, owner: owner ?? ref.owner };
}

export const fabricSabotages: readonly FabricSabotage[] = [
  {
    name: "one flat network",
    site: wiring(async (hosts, address, port) => (await hosts.get(address)?.fetch(address, port, 1_000)) ?? null),
    red: [
      "isolation segments of two vApps do not reach each other (isolated: true, true)",
      "isolation segments of two vApps do not reach each other (isolated: true, false)",
      "isolation segments of two vApps do not reach each other (isolated: false, false)",
      "isolation an isolated segment has no way out",
      "isolation a segment that is not isolated has a way out, until it is isolated",
      "isolation nothing outside connects to a segment by itself",
    ],
  },
  {
    name: "no network at all",
    site: wiring(async () => null),
    red: [
      "isolation machines of one segment reach each other",
      "isolation a segment that is not isolated has a way out, until it is isolated",
      "exposures an exposure answers from outside",
    ],
  },
  {
    name: "segments are never changed",
    fabric: (inner) => ({
      async segmentEnsure(ctx, spec) {
        const there = (await inner.segmentList(ctx)).find((segment) => segment.name === spec.name);
        return there ?? inner.segmentEnsure(ctx, spec);
      },
    }),
    red: [
      "segments ensure brings a changed segment to its specification",
      "segments a name that belongs to somebody else",
      "isolation a segment that is not isolated has a way out, until it is isolated",
    ],
  },
  {
    name: "segments are listed twice",
    fabric: (inner) => ({
      async segmentList(ctx) {
        const list = await inner.segmentList(ctx);
        return [...list, ...list];
      },
    }),
    red: ["segments ensure twice is one", "segments two ensures at the same time are one"],
  },
  {
    name: "removes whatever bears the name",
    fabric: (inner) => ({
      segmentRemove: async (ctx, ref) => inner.segmentRemove(ctx, await segmentAsItsOwner(inner, ctx, ref)),
      exposureRemove: async (ctx, ref) => inner.exposureRemove(ctx, await exposureAsItsOwner(inner, ctx, ref)),
    }),
    red: ["segments a name that belongs to somebody else", "exposures a name that belongs to somebody else"],
  },
  {
    name: "removing nothing fails",
    fabric: (inner) => ({
      async segmentRemove(ctx, ref) {
        const there = (await inner.segmentList(ctx)).some((segment) => segment.name === ref.name);
        if (!there) throw new Error("no such segment");
        await inner.segmentRemove(ctx, ref);
      },
    }),
    red: ["segments a segment is gone after remove"],
  },
  {
    name: "exposures are made anew each time",
    fabric: (inner) => ({
      async exposureEnsure(ctx, spec) {
        await inner.exposureRemove(ctx, spec);
        return inner.exposureEnsure(ctx, spec);
      },
    }),
    red: ["exposures an exposure answers from outside", "exposures an exposure follows its target and keeps its port"],
  },
  {
    name: "two ensures make two exposures",
    fabric: (inner) => ({
      async exposureList(ctx) {
        const list = await inner.exposureList(ctx);
        return [...list, ...list];
      },
    }),
    red: ["exposures two ensures at the same time are one"],
  },
  {
    name: "a crash forgets everything",
    site: (inner) => ({
      async restart() {
        const fabric = await inner.open();
        const ctx = { signal: AbortSignal.timeout(10_000), log: silent, clock: { now: Date.now, sleep: async () => {} } };
        for (const { name, owner } of await fabric.exposureList(ctx)) if (owner !== null) await fabric.exposureRemove(ctx, { name, owner });
        await fabric.close();
        await inner.restart();
      },
    }),
    red: ["exposures segments and exposures survive a crash"],
  },
  {
    name: "reach gives a dead stream whatever is there",
    fabric: () => ({ reach: async () => new PassThrough().end() }),
    red: [
      "reach reach opens a path into a segment (isolated: true)",
      "reach reach opens a path into a segment (isolated: false)",
      "reach a closed port and a missing machine are endpoint_unreachable",
      "reach an address outside of the segment is refused",
    ],
  },
  {
    name: "declares what it has not",
    fabric: (inner) => ({ capabilities: { ...inner.capabilities, ipv6: true } }),
    red: ["capabilities are as declared"],
  },
];

const silent: CallContext["log"] = { debug() {}, info() {}, warn() {}, error() {} };
