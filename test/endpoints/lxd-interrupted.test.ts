/**
 * The LXD provider cut off between any two requests that change something, as when its process is killed: the call is repeated by
 * another connection, and then everything is as if nothing had happened. A relay before LXD's socket lets through so many requests;
 * the next one either does not arrive, or arrives and its answer is lost.
 */
import { rm } from "node:fs/promises";
import { connect, createServer, type Server, type Socket } from "node:net";
import { dirname, join } from "node:path";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { callContext } from "#provider/conformance/subject.ts";
import type { ImageSource, MachineSpec, Provider } from "#provider/contract.ts";
import { lxdFactory } from "#providers/lxd/provider.ts";
import { freshRef, lxc, lxdMachine, tinyEdgeImage } from "../support/lxd-subject.ts";
import { startTestSite, type TestSite } from "../support/site.ts";

/** More requests than any call here makes. */
const requestLimit = 20;
/** So long an answer that gets lost may take before its connection is cut. */
const lostAfterMs = 30;

type Cut = "before the request" | "after the request";

let site: TestSite;
let attachment: string;
let image: ImageSource;
let provider: Provider;
let relay: Server;
let relayPath: string;
let left = 0;
let isCut = false;
let cut: Cut = "before the request";
const relayed = new Set<Socket>();

/** One connection is one request. Those that only read count for nothing, but nothing gets through any more after the cut. */
function relayServe(client: Socket): void {
  relayed.add(client);
  client.on("error", () => {});
  if (isCut) return void client.destroy();
  client.once("data", (head: Buffer) => {
    const lxd = connect(site.lxdConfig.socket);
    lxd.on("error", () => client.destroy());
    client.on("close", () => lxd.destroy());
    const isLast = !head.subarray(0, 4).equals(Buffer.from("GET ")) && left-- === 0;
    isCut ||= isLast;
    if (isLast && cut === "before the request") return void client.destroy();
    lxd.write(head);
    client.pipe(lxd);
    if (!isLast) return void lxd.pipe(client);
    lxd.resume();
    setTimeout(() => client.destroy(), lostAfterMs);
  });
}

beforeAll(async () => {
  image = await tinyEdgeImage();
  site = await startTestSite();
  attachment = (await site.segment({ prefix: "10.64.1.0/24", gateway: "10.64.1.1" })).attachment;
  provider = lxdFactory.open(site.lxdConfig);
  await provider.imageEnsure(callContext(), image);
  relayPath = join(dirname(site.lxdConfig.socket), "relay");
  relay = createServer(relayServe);
  await new Promise<void>((resolve) => relay.listen(relayPath, resolve));
});
afterAll(async () => {
  for (const socket of relayed) socket.destroy();
  await new Promise((resolve) => relay.close(resolve));
  await rm(relayPath, { force: true });
  await provider.close();
  await site.stop();
});

/** True when the call was not interrupted. */
async function cutAt(requests: number, where: Cut, call: (through: Provider) => Promise<unknown>): Promise<boolean> {
  left = requests;
  cut = where;
  isCut = false;
  const through = lxdFactory.open({ ...site.lxdConfig, socket: relayPath });
  try {
    await call(through);
    return !isCut;
  } catch (error) {
    if (!isCut) throw error;
    return false;
  } finally {
    await through.close();
  }
}

/** Interrupts `call` at each of its requests, repeats it, and judges; then the same with `reset`. Returns at how many places. */
async function interruptEverywhere(
  where: Cut,
  [call, judge]: readonly [call: (by: Provider) => Promise<unknown>, judge: () => Promise<void>],
  [reset, judgeReset]: readonly [reset: (by: Provider) => Promise<unknown>, judge: () => Promise<void>],
): Promise<number> {
  for (let requests = 0; requests < requestLimit; requests++) {
    const whole = await cutAt(requests, where, call);
    await call(provider);
    await judge();
    const wholeReset = await cutAt(requests, where, reset);
    await reset(provider);
    await judgeReset();
    if (whole && wholeReset) return requests;
  }
  throw new Error(`not done after ${requestLimit} requests`);
}

async function volumeNames(): Promise<string[]> {
  const lines = (await lxc(site, "storage", "volume", "list", "stratiform", "--format", "csv", "--columns", "tn")).split("\n");
  return lines.filter((line) => line.startsWith("custom")).map((line) => line.split(",")[1]!);
}

async function instanceNames(): Promise<string[]> {
  return (await lxc(site, "list", "--format", "csv", "--columns", "n")).split("\n").filter((line) => line !== "");
}

const ensure = (by: Provider, spec: MachineSpec) => by.machineEnsure(callContext(), spec);
const observe = (spec: MachineSpec) => provider.machineObserve(callContext(), spec);

describe.each<Cut>(["before the request", "after the request"])("cut off %s", (where) => {
  let spec: MachineSpec;
  beforeEach(() => {
    const volumes = [
      { name: "data", sizeMiB: 16 },
      { name: "logs", sizeMiB: 16 },
    ];
    spec = lxdMachine(image, attachment, { ...freshRef("cut"), volumes });
  });
  afterEach(() => provider.machineRemove(callContext(), spec));

  async function running(): Promise<void> {
    await ensure(provider, spec);
    await provider.machineStart(callContext(), spec);
  }

  const snapshot = (by: Provider) => by.snapshotEnsure(callContext(), spec, "one");
  const giveUp = (by: Provider) => by.snapshotRemove(callContext(), spec, "one");

  async function state() {
    const names = await volumeNames();
    return {
      power: (await observe(spec))?.power,
      names: names.map((name) => name.replace(/\.[0-9a-f]+$/, ".ID")),
      attempts: new Set(names.flatMap((name) => /\.([0-9a-f]+)$/.exec(name)?.[1] ?? [])).size,
      note: (await lxc(site, "config", "get", "cut", "user.stratiform.snapshot")).trim(),
      list: (await provider.snapshotList(callContext(), spec)).map(({ name }) => name),
    };
  }
  const without = { power: "running", names: ["cut-data", "cut-logs"], attempts: 0, note: "", list: [] as string[] };
  const made = { ...without, names: ["cut-data", "cut-data/one.ID", "cut-logs", "cut-logs/one.ID"], attempts: 1, list: ["one"] };

  test("a machine is made whole and removed whole", async () => {
    const places = await interruptEverywhere(
      where,
      [
        (by) => ensure(by, spec),
        async () => {
          expect(await observe(spec)).toMatchObject({ power: "stopped", volumes: spec.volumes });
          expect(await volumeNames()).toEqual(["cut-data", "cut-logs"]);
        },
      ],
      [(by) => by.machineRemove(callContext(), spec), async () => expect([await instanceNames(), await volumeNames()]).toEqual([[], []])],
    );
    expect(places).toBe(4); // The instance, two volumes, attaching them.
  });

  test("a snapshot of a running machine is of one moment, and the machine runs on", async () => {
    await running();
    const places = await interruptEverywhere(
      where,
      [snapshot, async () => expect(await state()).toEqual(made)],
      [giveUp, async () => expect(await state()).toEqual(without)],
    );
    expect(places).toBe(7); // Note, pause, two volumes, the instance, resume, note.
  });

  test("a snapshot that is given up half way lets the machine run on", async () => {
    await running();
    for (let requests = 1; requests < 7; requests++) {
      expect(await cutAt(requests, where, snapshot)).toBe(false);
      await giveUp(provider);
      expect(await state()).toEqual(without);
    }
  });

  test("a machine that its owner paused meanwhile stays paused", async () => {
    await running();
    await cutAt(3, where, snapshot);
    await provider.machinePause(callContext(), spec);
    await snapshot(provider);
    expect(await state()).toEqual({ ...made, power: "paused" });
  });

  test("volumes of a moment before it ran on are not taken for those of the snapshot", async () => {
    await running();
    await cutAt(3, where, snapshot);
    const first = (await volumeNames()).filter((name) => name.includes("/one."));
    expect(first.length).toBeGreaterThan(0);
    await lxc(site, "start", "cut");
    await snapshot(provider);
    expect(await state()).toEqual(made);
    expect((await volumeNames()).filter((name) => first.includes(name))).toEqual([]);
  });

  test("a stopped machine is reverted, keeps its definition and its other snapshots", async () => {
    await running();
    await snapshot(provider);
    await provider.machineStop(callContext(), spec, { graceMs: 0 });
    const later = { ...spec, memoryMiB: 96, volumes: [...spec.volumes, { name: "more", sizeMiB: 16 }] };
    await ensure(provider, later);
    await provider.snapshotEnsure(callContext(), spec, "two");
    const revert = (by: Provider) => by.snapshotRevert(callContext(), spec, "one");
    for (let requests = 0; ; requests++) {
      const whole = await cutAt(requests, where, revert);
      await revert(provider);
      // Only a cut between restoring and putting the definition back leaves the older one, for `machineEnsure` to sync.
      await ensure(provider, later);
      expect(await observe(spec)).toMatchObject({ power: "stopped", memoryMiB: 96, volumes: later.volumes });
      expect((await provider.snapshotList(callContext(), spec)).map(({ name }) => name)).toEqual(["one", "two"]);
      expect((await lxc(site, "config", "get", "cut", "volatile.last_state.power")).trim()).toBe("STOPPED");
      if (whole) break;
      expect(requests).toBeLessThan(requestLimit);
    }
  });
});
