/**
 * The suite every fabric passes. A fabric's own test file makes a `FabricSubject` (a running site, and a way to put tiny probe
 * hosts on its segments) and calls `fabricConformance(subject)` once. Only the promises of `fabric/contract.ts` are tested here;
 * what one fabric adds is tested beside it. A capability a fabric lacks is printed, and its refusal is tested instead.
 */
import { text } from "node:stream/consumers";
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import type { CallContext, Clock } from "#domain/context.ts";
import { isAppError } from "#domain/error.ts";
import type { OwnerMark } from "#domain/owner.ts";
import type { ExposureSpec, Fabric, FabricCapabilities, SegmentFacts, SegmentSpec } from "#fabric/contract.ts";

/** A tiny host that can listen and connect: on a segment of the site, or outside of it. */
export interface ProbeHost {
  /** IPv4 address others use for it. */
  readonly address: string;
  /** Listens on a TCP port of this host; every connection is sent `answer` and closed. Resolves once it listens. */
  listen(port: number, answer: string): Promise<void>;
  /** Connects from this host and reads to the end. Null when refused, or unanswered for `timeoutMs`. */
  fetch(address: string, port: number, timeoutMs: number): Promise<string | null>;
  /** Stops its listeners and takes it off its segment. May be called twice. */
  remove(): Promise<void>;
}

/** One running site, as its fabric's own test knows it. */
export interface FabricSubject {
  /** Title of the suite. */
  readonly name: string;
  /** What `open().capabilities` must say; known before the site runs, so that the suite can list what is missing. */
  readonly capabilities: FabricCapabilities;
  /** Brings the site up. Called once. */
  start(): Promise<void>;
  /** Takes the site down and cleans up. Called once. */
  stop(): Promise<void>;
  /** A new client of the site. The suite closes it. */
  open(): Promise<Fabric>;
  /** Puts a probe host on a segment, with the segment's gateway as its default route, also when the segment is isolated. */
  attachHost(segment: SegmentFacts, address: string): Promise<ProbeHost>;
  /** A host outside the site: guests of a segment with a way out reach it at its `address`, and it connects to exposures. */
  outside(): Promise<ProbeHost>;
  /** Restarts whatever carries the fabric out (agent, simulator) the hard way, as after a crash. Clients are opened anew after it. */
  restart(): Promise<void>;
}

/** Long enough for an answer on a loaded machine. */
const answerLimitMs = 5_000;
/** How long silence is waited for before it counts as a wall. */
const silenceMs = 700;
const outsidePort = 18_080;

const wallClock: Clock = {
  now: () => Date.now(),
  sleep: (ms) => new Promise((resolve) => setTimeout(resolve, ms)),
};

function callContext(): CallContext {
  return { signal: AbortSignal.timeout(60_000), log: { debug() {}, info() {}, warn() {}, error() {} }, clock: wallClock };
}

/** Fixed installation, fresh vApp and object: what two vApps of one control plane look like. */
function freshOwner(): OwnerMark {
  return { installation: "00000000-0000-4000-8000-000000000001", vapp: crypto.randomUUID(), object: crypto.randomUUID() };
}

export function fabricConformance(subject: FabricSubject): void {
  describe(`fabric ${subject.name}`, () => {
    const scene = makeScene(subject);
    beforeAll(async () => {
      await subject.start();
      await scene.open();
    }, 120_000);
    afterEach(() => scene.clear());
    afterAll(async () => {
      await scene.close();
      await subject.stop();
    }, 120_000);

    test("capabilities are as declared", () => {
      const missing = Object.entries(subject.capabilities).filter(([, has]) => !has);
      if (missing.length > 0) console.info(`fabric ${subject.name} lacks: ${missing.map(([name]) => name).join(", ")}`);
      expect(scene.fabric().capabilities).toEqual(subject.capabilities);
    });
    describe("segments", () => segmentTests(scene));
    if (subject.capabilities.isolation) describe("isolation", () => isolationTests(scene, subject));
    if (subject.capabilities.reach) describe("reach", () => reachTests(scene));
    if (subject.capabilities.exposure) describe("exposures", () => exposureTests(scene, subject));
    if (!subject.capabilities.reach) {
      test("reach is refused as a missing capability", async () => {
        await expectCode(scene.fabric().reach(callContext(), { segment: "s", address: "10.64.0.2", port: 80 }), "capability_missing");
      });
    }
    if (!subject.capabilities.exposure) {
      test("exposures are refused as a missing capability", async () => {
        const target = { segment: "s", address: "10.64.0.2", port: 80 };
        await expectCode(scene.fabric().exposureEnsure(callContext(), { name: "e", owner: freshOwner(), target }), "capability_missing");
      });
    }
  });
}

/** What one test made, so that the next starts from nothing. */
interface Scene {
  fabric(): Fabric;
  open(): Promise<void>;
  close(): Promise<void>;
  /** A specification no other test uses: fresh name, owner and prefix. */
  spec(isolated: boolean): SegmentSpec;
  segment(isolated: boolean): Promise<SegmentFacts & { readonly spec: SegmentSpec }>;
  host(segment: SegmentFacts, last: number): Promise<ProbeHost>;
  outside(): Promise<ProbeHost>;
  exposure(spec: ExposureSpec): Promise<{ readonly address: string; readonly port: number }>;
  clear(): Promise<void>;
}

function makeScene(subject: FabricSubject): Scene {
  let fabric: Fabric | null = null;
  let outside: ProbeHost | null = null;
  let serial = 0;
  let hosts: ProbeHost[] = [];
  let segments: SegmentSpec[] = [];
  let exposures: ExposureSpec[] = [];
  const current = () => {
    if (fabric === null) throw new Error("the fabric is not open");
    return fabric;
  };
  const scene: Scene = {
    fabric: current,
    async open() {
      fabric = await subject.open();
    },
    async close() {
      await outside?.remove();
      await fabric?.close();
    },
    spec(isolated) {
      serial++;
      const name = `s${crypto.randomUUID().replaceAll("-", "").slice(0, 12)}`;
      const spec = { name, owner: freshOwner(), prefix: `10.64.${serial}.0/24`, gateway: `10.64.${serial}.1`, isolated };
      segments.push(spec);
      return spec;
    },
    async segment(isolated) {
      const spec = scene.spec(isolated);
      return { ...(await current().segmentEnsure(callContext(), spec)), spec };
    },
    async host(segment, last) {
      const host = await subject.attachHost(segment, segment.gateway.replace(/\d+$/, String(last)));
      hosts.push(host);
      return host;
    },
    async outside() {
      outside ??= await subject.outside();
      return outside;
    },
    async exposure(spec) {
      exposures.push(spec);
      return await current().exposureEnsure(callContext(), spec);
    },
    async clear() {
      for (const host of hosts) await host.remove();
      for (const spec of exposures) await current().exposureRemove(callContext(), spec);
      for (const spec of segments) await current().segmentRemove(callContext(), spec);
      hosts = [];
      segments = [];
      exposures = [];
    },
  };
  return scene;
}

async function expectCode(call: Promise<unknown>, code: string): Promise<void> {
  const error = await call.then(
    () => null,
    (reason: unknown) => reason,
  );
  expect(isAppError(error) ? error.code : error).toBe(code);
}

function segmentTests(scene: Scene): void {
  test("ensure twice is one, with the same facts, listed with its owner", async () => {
    const spec = scene.spec(true);
    const first = await scene.fabric().segmentEnsure(callContext(), spec);
    const second = await scene.fabric().segmentEnsure(callContext(), spec);
    expect(first).toEqual({ ...spec, attachment: first.attachment });
    expect(second).toEqual(first);
    const listed = (await scene.fabric().segmentList(callContext())).filter((s) => s.name === spec.name);
    expect(listed).toEqual([first]);
  });

  test("two ensures at the same time are one", async () => {
    const spec = scene.spec(false);
    const [first, second] = await Promise.all([
      scene.fabric().segmentEnsure(callContext(), spec),
      scene.fabric().segmentEnsure(callContext(), spec),
    ]);
    expect(second).toEqual(first);
    expect((await scene.fabric().segmentList(callContext())).filter((s) => s.name === spec.name)).toHaveLength(1);
  });

  test("ensure brings a changed segment to its specification", async () => {
    const spec = scene.spec(true);
    await scene.fabric().segmentEnsure(callContext(), spec);
    await scene.fabric().segmentEnsure(callContext(), { ...spec, isolated: false });
    const listed = (await scene.fabric().segmentList(callContext())).find((s) => s.name === spec.name);
    expect(listed?.isolated).toBe(false);
  });

  test("a segment is gone after remove, and removing it again or never having had it is fine", async () => {
    const { spec } = await scene.segment(true);
    await scene.fabric().segmentRemove(callContext(), spec);
    expect((await scene.fabric().segmentList(callContext())).map((s) => s.name)).not.toContain(spec.name);
    await scene.fabric().segmentRemove(callContext(), spec);
    await scene.fabric().segmentRemove(callContext(), { name: "snever", owner: freshOwner() });
  });

  test("a name that belongs to somebody else is neither taken nor removed", async () => {
    const { spec } = await scene.segment(true);
    const foreign = { ...spec, owner: freshOwner() };
    await expectCode(scene.fabric().segmentEnsure(callContext(), foreign), "not_ours");
    await expectCode(scene.fabric().segmentRemove(callContext(), foreign), "not_ours");
    const listed = (await scene.fabric().segmentList(callContext())).find((s) => s.name === spec.name);
    expect(listed?.owner).toEqual(spec.owner);
  });
}

function isolationTests(scene: Scene, subject: FabricSubject): void {
  test("machines of one segment reach each other", async () => {
    const segment = await scene.segment(true);
    const [a, b] = [await scene.host(segment, 5), await scene.host(segment, 6)];
    await a.listen(80, "hello");
    expect(await b.fetch(a.address, 80, answerLimitMs)).toBe("hello");
  });

  test.each([
    [true, true],
    [true, false],
    [false, false],
  ])("segments of two vApps do not reach each other (isolated: %s, %s)", async (isolatedA, isolatedB) => {
    const [a, b] = [await scene.host(await scene.segment(isolatedA), 5), await scene.host(await scene.segment(isolatedB), 5)];
    await a.listen(80, "a");
    await b.listen(80, "b");
    expect(await a.fetch(b.address, 80, silenceMs)).toBeNull();
    expect(await b.fetch(a.address, 80, silenceMs)).toBeNull();
  });

  test("an isolated segment has no way out", async () => {
    const outside = await scene.outside();
    await outside.listen(outsidePort, "outside");
    const host = await scene.host(await scene.segment(true), 5);
    expect(await host.fetch(outside.address, outsidePort, silenceMs)).toBeNull();
  });

  if (subject.capabilities.outbound) {
    test("a segment that is not isolated has a way out, until it is isolated", async () => {
      const outside = await scene.outside();
      await outside.listen(outsidePort, "outside");
      const segment = await scene.segment(false);
      const host = await scene.host(segment, 5);
      expect(await host.fetch(outside.address, outsidePort, answerLimitMs)).toBe("outside");
      await scene.fabric().segmentEnsure(callContext(), { ...segment.spec, isolated: true });
      expect(await host.fetch(outside.address, outsidePort, silenceMs)).toBeNull();
    });
  }

  test("nothing outside connects to a segment by itself", async () => {
    const outside = await scene.outside();
    const host = await scene.host(await scene.segment(false), 5);
    await host.listen(80, "inside");
    expect(await outside.fetch(host.address, 80, silenceMs)).toBeNull();
  });
}

function reachTests(scene: Scene): void {
  test.each([true, false])("reach opens a path into a segment (isolated: %s)", async (isolated) => {
    const segment = await scene.segment(isolated);
    const host = await scene.host(segment, 5);
    await host.listen(80, "reached");
    const stream = await scene.fabric().reach(callContext(), { segment: segment.name, address: host.address, port: 80 });
    expect(await text(stream)).toBe("reached");
  });

  test("a closed port and a missing machine are endpoint_unreachable", async () => {
    const segment = await scene.segment(true);
    const host = await scene.host(segment, 5);
    const target = { segment: segment.name, address: host.address, port: 81 };
    await expectCode(scene.fabric().reach(callContext(), target), "endpoint_unreachable");
    const nobody = { ...target, address: segment.gateway.replace(/\d+$/, "99") };
    await expectCode(scene.fabric().reach(callContext(), nobody), "endpoint_unreachable");
  });

  test("an address outside of the segment is refused", async () => {
    const segment = await scene.segment(true);
    await expectCode(scene.fabric().reach(callContext(), { segment: segment.name, address: "10.200.0.9", port: 80 }), "invalid_input");
  });
}

function exposureTests(scene: Scene, subject: FabricSubject): void {
  const exposed = async () => {
    const segment = await scene.segment(true);
    const host = await scene.host(segment, 5);
    await host.listen(80, "exposed");
    const name = `e${crypto.randomUUID().slice(0, 8)}`;
    const spec: ExposureSpec = { name, owner: freshOwner(), target: { segment: segment.name, address: host.address, port: 80 } };
    return { spec, host };
  };
  const fetchOutside = async (facts: { address: string; port: number }, timeoutMs: number) =>
    await (await scene.outside()).fetch(facts.address, facts.port, timeoutMs);

  test("an exposure answers from outside, twice ensured it is one, and after remove it is silent", async () => {
    const { spec } = await exposed();
    const facts = await scene.exposure(spec);
    expect(await fetchOutside(facts, answerLimitMs)).toBe("exposed");
    expect(await scene.exposure(spec)).toEqual(facts);
    const listed = (await scene.fabric().exposureList(callContext())).filter((e) => e.name === spec.name);
    expect(listed).toEqual([{ ...spec, address: facts.address, port: facts.port }]);
    await scene.fabric().exposureRemove(callContext(), spec);
    await scene.fabric().exposureRemove(callContext(), spec);
    expect(await fetchOutside(facts, silenceMs)).toBeNull();
    expect((await scene.fabric().exposureList(callContext())).map((e) => e.name)).not.toContain(spec.name);
  });

  test("two ensures at the same time are one", async () => {
    const { spec } = await exposed();
    const [first, second] = await Promise.all([scene.exposure(spec), scene.exposure(spec)]);
    expect(second).toEqual(first);
    expect((await scene.fabric().exposureList(callContext())).filter((e) => e.name === spec.name)).toHaveLength(1);
  });

  test("an exposure follows its target and keeps its port", async () => {
    const { spec } = await exposed();
    const facts = await scene.exposure(spec);
    const other = await scene.host(await scene.segment(true), 7);
    await other.listen(81, "other");
    const segment = (await scene.fabric().segmentList(callContext())).find((s) => s.gateway === other.address.replace(/\d+$/, "1"));
    const moved = await scene.exposure({ ...spec, target: { segment: segment!.name, address: other.address, port: 81 } });
    expect(moved.port).toBe(facts.port);
    expect(await fetchOutside(moved, answerLimitMs)).toBe("other");
  });

  test("a name that belongs to somebody else is neither taken nor removed", async () => {
    const { spec } = await exposed();
    const facts = await scene.exposure(spec);
    const foreign = { ...spec, owner: freshOwner() };
    await expectCode(scene.fabric().exposureEnsure(callContext(), foreign), "not_ours");
    await expectCode(scene.fabric().exposureRemove(callContext(), foreign), "not_ours");
    expect(await fetchOutside(facts, answerLimitMs)).toBe("exposed");
  });

  test("segments and exposures survive a crash of what carries the fabric out", async () => {
    const { spec, host } = await exposed();
    const facts = await scene.exposure(spec);
    const before = await scene.fabric().segmentList(callContext());
    await scene.fabric().close();
    await subject.restart();
    await scene.open();
    expect(await scene.fabric().segmentList(callContext())).toEqual(before);
    expect(await fetchOutside(facts, answerLimitMs)).toBe("exposed");
    expect(host.address).toBe(spec.target.address);
  });
}
