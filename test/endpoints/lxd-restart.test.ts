/** What the end of an LXD daemon means for its machines, and what happens to them behind the provider's back. */
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { exec } from "#lib/exec.ts";
import { callContext } from "#provider/conformance/subject.ts";
import type { ImageSource, MachineEvent, MachineSpec, Provider } from "#provider/contract.ts";
import { lxdFactory } from "#providers/lxd/provider.ts";
import { freshRef, lxc, lxdMachine, tinyEdgeImage } from "../support/lxd-subject.ts";
import { siteCall, startTestSite, type TestSite } from "../support/site.ts";

/** The contract's limit for events. */
const eventLimitMs = 1_000;

let site: TestSite;
let attachment: string;
let image: ImageSource;
let provider: Provider;
let spec: MachineSpec;
const ctx = () => callContext();

beforeAll(async () => {
  image = await tinyEdgeImage();
  site = await startTestSite();
  attachment = (await site.segment({ prefix: "10.64.1.0/24", gateway: "10.64.1.1" })).attachment;
  provider = lxdFactory.open(site.lxdConfig);
  await provider.imageEnsure(ctx(), image);
});
afterAll(async () => {
  await provider.close();
  await site.stop();
});

async function running(name: string): Promise<void> {
  spec = lxdMachine(image, attachment, { ...freshRef(name), volumes: [{ name: "data", sizeMiB: 16 }] });
  await provider.machineEnsure(ctx(), spec);
  await provider.machineStart(ctx(), spec);
}

interface Watch {
  readonly events: { readonly event: MachineEvent; readonly at: number }[];
  readonly ended: Promise<unknown>;
}

/** `ended` resolves with what `watch` threw. */
async function watchStart(signal: AbortSignal): Promise<Watch> {
  const events: { event: MachineEvent; at: number }[] = [];
  const ready = Promise.withResolvers<void>();
  const watching = provider.watch(callContext(signal), (event) => events.push({ event, at: Date.now() }), ready.resolve);
  const ended = watching.then(
    () => null,
    (error: unknown) => error,
  );
  await Promise.race([ready.promise, ended]);
  return { events, ended };
}

async function initPid(): Promise<string> {
  return /^PID: (\d+)/im.exec(await lxc(site, "info", spec.name))![1]!;
}

/** The agent starts what does not run. */
async function daemonStart(): Promise<void> {
  const answer = await siteCall(site.fabricConfig.socket, "PUT");
  expect(answer.error).toBeUndefined();
}

describe("an LXD that ends", () => {
  beforeEach(() => running("restart"));

  test("by kill -9: its machines run on, watch rejects, and the next daemon knows them", async () => {
    const pid = await initPid();
    const { ended } = await watchStart(new AbortController().signal);
    const daemon = (await readFile(join(site.home, "site", "lxd.site-pid"), "utf8")).trim();
    await exec("nsenter", site.inside("kill", "-9", daemon));
    expect(await ended).toMatchObject({ code: "endpoint_unreachable" });
    await expect(provider.machineObserve(ctx(), spec)).rejects.toMatchObject({ code: "endpoint_unreachable" });
    await daemonStart();
    expect(await provider.machineObserve(ctx(), spec)).toMatchObject({ power: "running", volumes: spec.volumes });
    expect(await initPid()).toBe(pid);
    expect((await provider.channelRun(ctx(), spec, { argv: ["/bin/echo", "still here"] })).stdout).toBe("still here\n");
    await provider.machineRemove(ctx(), spec);
  });

  test("in an orderly way: it stops its machines, watch rejects, and the next daemon starts them again", async () => {
    const pid = await initPid();
    const stopped = lxdMachine(image, attachment, freshRef("stopped"));
    await provider.machineEnsure(ctx(), stopped);
    const { ended } = await watchStart(new AbortController().signal);
    const lxdDir = "/run/site/lxd";
    await exec("nsenter", site.inside("env", `LXD_DIR=${lxdDir}`, "lxd", "shutdown", "--timeout", "20"));
    expect(await ended).toMatchObject({ code: "endpoint_unreachable" });
    await daemonStart();
    await expect.poll(async () => (await provider.machineObserve(ctx(), spec))?.power, { timeout: 20_000 }).toBe("running");
    expect(await initPid()).not.toBe(pid);
    expect((await provider.machineObserve(ctx(), stopped))?.power).toBe("stopped");
    await provider.machineRemove(ctx(), spec);
    await provider.machineRemove(ctx(), stopped);
  });
});

describe("behind our back", () => {
  beforeEach(() => running("behind"));

  interface Hurt {
    readonly what: string;
    readonly powers: readonly MachineEvent["power"][];
    act(): Promise<unknown>;
  }
  const hurts: readonly Hurt[] = [
    {
      what: "a kill -9 of its first process",
      powers: ["stopped", "crashed"],
      act: async () => exec("nsenter", site.inside("kill", "-KILL", await initPid())),
    },
    { what: "lxc stop", powers: ["stopped"], act: () => lxc(site, "stop", "--force", spec.name) },
    { what: "lxc pause", powers: ["paused"], act: () => lxc(site, "pause", spec.name) },
    { what: "lxc delete", powers: ["removed"], act: () => lxc(site, "delete", "--force", spec.name) },
  ];

  test.each(hurts)("$what is seen as an event", async ({ powers, act }) => {
    const abort = new AbortController();
    const { events, ended } = await watchStart(abort.signal);
    const seen = () => events.find(({ event }) => event.name === spec.name && powers.includes(event.power));
    await act();
    await expect.poll(seen, { timeout: eventLimitMs, interval: 10 }).toBeDefined();
    abort.abort();
    expect(await ended).toBeNull();
    await provider.machineRemove(ctx(), spec);
    expect(await lxc(site, "storage", "volume", "list", "stratiform", "--format", "csv", "--columns", "n")).not.toContain(spec.name);
  });
});

describe("a running machine", () => {
  test("that ends when it is asked to is not waited for", async () => {
    await running("polite");
    const stopTakes = async (graceMs: number) => {
      await provider.machineStart(ctx(), spec);
      const booted = "until [ -e /run/stratiform.booted ]; do usleep 50000; done";
      await provider.channelRun(ctx(), spec, { argv: ["/bin/sh", "-c", booted] });
      const before = Date.now();
      await provider.machineStop(ctx(), spec, { graceMs });
      return Date.now() - before;
    };
    // What LXD itself needs, here and now. An init that sleeps on its way down needs two seconds more.
    const byForce = await stopTakes(0);
    expect((await stopTakes(10_000)) - byForce).toBeLessThan(1_500);
    expect((await provider.machineObserve(ctx(), spec))?.power).toBe("stopped");
    await provider.machineRemove(ctx(), spec);
  });

  test("keeps the limits it cannot do without, and gets everything else", async () => {
    await running("big");
    const big = { ...spec, memoryMiB: 256 };
    await provider.machineEnsure(ctx(), big);
    await provider.channelRun(ctx(), spec, { argv: ["/bin/dd", "if=/dev/zero", "of=/tmp/much", "bs=1M", "count=120"] });
    const wanted = { ...spec, memoryMiB: 64, volumes: [{ name: "data", sizeMiB: 32 }] };
    expect(await provider.machineEnsure(ctx(), wanted)).toMatchObject({ power: "running", memoryMiB: 256, volumes: wanted.volumes });
    await provider.channelRun(ctx(), spec, { argv: ["/bin/rm", "/tmp/much"] });
    expect(await provider.machineEnsure(ctx(), wanted)).toMatchObject({ power: "running", memoryMiB: 64 });
    await provider.machineRemove(ctx(), spec);
  });

  test("finds the address of a NIC that came while it ran, and its volume again after the device was taken away", async () => {
    await running("drift");
    await provider.channelRun(ctx(), spec, { argv: ["/bin/sh", "-c", "echo kept > /var/lib/stratiform/volumes/data/file"] });
    await lxc(site, "config", "device", "remove", spec.name, "volume-data");
    await lxc(site, "config", "device", "remove", spec.name, "eth0");
    expect(await provider.machineObserve(ctx(), spec)).toMatchObject({ nics: [], volumes: [] });
    const second = { ...spec.nics[0]!, name: "eth1", mac: "02:00:00:00:03:01", address: "10.64.1.251", prefixLength: 24 };
    const wanted = { ...spec, nics: [...spec.nics, second] };
    const facts = await provider.machineEnsure(ctx(), wanted);
    expect([facts.nics.length, facts.volumes]).toEqual([2, spec.volumes]);
    const script = "/usr/lib/stratiform/network /etc/stratiform/network; ip -o -4 addr; cat /var/lib/stratiform/volumes/data/file";
    const { stdout } = await provider.channelRun(ctx(), spec, { argv: ["/bin/sh", "-c", script] });
    expect(stdout).toMatch(new RegExp(`eth0 .*${spec.nics[0]!.address}/24[^]*eth1 .*10.64.1.251/24[^]*kept`));
    await provider.machineRemove(ctx(), spec);
  });
});

describe("a pool of plain folders", () => {
  test("has no quotas: a volume's size is what it was made for, grows as a record, and snapshots keep its content", async () => {
    await lxc(site, "storage", "create", "plain", "dir");
    const plain = lxdFactory.open({ ...site.lxdConfig, pool: "plain" });
    const small = lxdMachine(image, attachment, { ...freshRef("plain"), volumes: [{ name: "data", sizeMiB: 4 }] });
    const run = async (script: string) => (await plain.channelRun(ctx(), small, { argv: ["/bin/sh", "-c", script] })).stdout;
    try {
      await plain.machineEnsure(ctx(), small);
      await plain.machineStart(ctx(), small);
      await run("cd /var/lib/stratiform/volumes/data && dd if=/dev/zero of=much bs=1M count=8 && echo first > mark && sync");
      const grown = { ...small, volumes: [{ name: "data", sizeMiB: 16 }] };
      expect(await plain.machineEnsure(ctx(), grown)).toMatchObject({ power: "running", volumes: grown.volumes });
      await plain.snapshotEnsure(ctx(), small, "one");
      await run("echo second > /var/lib/stratiform/volumes/data/mark; sync");
      await plain.machineStop(ctx(), small, { graceMs: 0 });
      await plain.snapshotRevert(ctx(), small, "one");
      await plain.machineStart(ctx(), small);
      expect(await run("cat /var/lib/stratiform/volumes/data/mark")).toBe("first\n");
    } finally {
      await plain.machineRemove(ctx(), small);
      await plain.close();
    }
    expect(await lxc(site, "storage", "volume", "list", "plain", "--format", "csv", "--columns", "tn")).toBe("");
  });
});
