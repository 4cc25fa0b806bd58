/** The libvirt provider at a real libvirtd of its own, with real guests. */
import { createHash, randomBytes } from "node:crypto";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { CallContext } from "#domain/context.ts";
import { isAppError, type ErrorCode } from "#domain/error.ts";
import { systemClock } from "#lib/clock.ts";
import { exec } from "#lib/exec.ts";
import { silentLog } from "#lib/log.ts";
import { providerConformance } from "#provider/conformance.ts";
import type { ImageSource, MachineEvent, MachineSpec, Provider } from "#provider/contract.ts";
import { libvirtConfigSchema } from "#providers/libvirt/config.ts";
import { LibvirtEndpoint } from "#providers/libvirt/endpoint.ts";
import { guestRuns } from "#providers/libvirt/platform.ts";
import { libvirtFactory } from "#providers/libvirt/provider.ts";
import { libvirtSiteStart, type LibvirtSite } from "../support/libvirt-site.ts";
import { libvirtOpen, libvirtSubject, tinyNodeImage, tinySpec } from "../support/libvirt-subject.ts";

let site: LibvirtSite;
let image: ImageSource;

beforeAll(async () => {
  [site, image] = await Promise.all([libvirtSiteStart(), tinyNodeImage()]);
}, 300_000);

afterAll(() => site.stop());

providerConformance(
  libvirtSubject(
    () => site,
    () => image,
  ),
);

const context = (signal: AbortSignal = AbortSignal.timeout(120_000)): CallContext => ({ signal, clock: systemClock, log: silentLog });

async function expectCode(code: ErrorCode, call: Promise<unknown>): Promise<void> {
  const error: unknown = await call.then(
    () => "succeeded",
    (reason: unknown) => reason,
  );
  expect(isAppError(error) ? error.code : error).toBe(code);
}

/** Waits on a level. */
async function until<T>(look: () => Promise<T | null>): Promise<T> {
  for (;;) {
    const seen = await look();
    if (seen !== null) return seen;
    await systemClock.sleep(50);
  }
}

const whenReady = (provider: Provider, spec: MachineSpec, argv: readonly string[]) =>
  until(() =>
    provider.channelRun(context(), spec, { argv }).catch((error: unknown) => {
      if (isAppError(error, "endpoint_busy")) return null;
      throw error;
    }),
  );

/** Names of all volumes that belong to a machine, seen by libvirt's own tool. */
async function volumesOf(spec: MachineSpec): Promise<string[]> {
  await site.virsh("pool-refresh", "stratiform");
  const lines = (await site.virsh("vol-list", "stratiform")).split("\n");
  return lines.map((line) => line.trim().split(/\s+/)[0] ?? "").filter((name) => name.startsWith(`${spec.name}.`));
}

describe("libvirt", { timeout: 180_000 }, () => {
  let provider: Provider;

  beforeAll(async () => {
    provider = libvirtOpen(site);
    await provider.imageEnsure(context(), image);
  });
  afterAll(() => provider.close());

  async function made(overrides: Partial<MachineSpec> = {}): Promise<MachineSpec> {
    const spec = tinySpec(site, image, overrides);
    await provider.machineEnsure(context(), spec);
    return spec;
  }

  test("a guest finds name, addresses and neighbours in its seed, speaks on its console and shuts down when asked", async () => {
    const spec = await made({ hostname: "node-7", hosts: [{ address: "10.64.1.9", names: ["edge-0", "edge"] }] });
    await provider.machineStart(context(), spec);
    const console = await provider.consoleOpen(context(), spec);
    let output = "";
    console.on("data", (chunk: Buffer) => (output += chunk.toString()));
    await expectCode("endpoint_busy", provider.consoleOpen(context(), spec));
    const seen = await whenReady(provider, spec, ["/bin/sh", "-c", "hostname; cat /etc/hosts; ip -4 addr show eth0"]);
    expect(seen.stdout).toContain("node-7\n127.0.0.1 localhost\n10.64.1.9 edge-0 edge\n");
    expect(seen.stdout).toContain(`inet ${spec.nics[0]!.address}/24`);
    console.write("\necho $((6*7))-from-console\n");
    await until(() => Promise.resolve(output.includes("42-from-console") ? true : null));
    console.destroy();
    const started = Date.now();
    await provider.machineStop(context(), spec, { graceMs: 60_000 });
    expect(Date.now() - started).toBeLessThan(30_000);
    expect((await site.virsh("domstate", "--reason", spec.name)).trim()).toBe("shut off (shutdown)");
    await provider.machineRemove(context(), spec);
  });

  test("concurrent machineEnsure of one machine leave one domain, one disk and one seed", async () => {
    const others = [libvirtOpen(site), libvirtOpen(site), libvirtOpen(site)];
    for (let round = 0; round < 5; round++) {
      const spec = tinySpec(site, image);
      const facts = await Promise.all(others.map((one) => one.machineEnsure(context(), spec)));
      expect(new Set(facts.map((one) => one.externalId))).toEqual(new Set([spec.owner.object]));
      expect((await volumesOf(spec)).map((name) => name.replace(/-[0-9a-f]{12}$/, ""))).toEqual([
        `${spec.name}.${spec.owner.object}.disk`,
        `${spec.name}.${spec.owner.object}.seed`,
      ]);
      await provider.machineRemove(context(), spec);
      expect(await volumesOf(spec)).toEqual([]);
    }
    for (const one of others) await one.close();
  });

  test("machineEnsure against machineRemove ends with a whole machine or with nothing", async () => {
    const other = libvirtOpen(site);
    for (let round = 0; round < 12; round++) {
      const spec = tinySpec(site, image);
      if (round % 2 === 0) await provider.machineEnsure(context(), spec);
      const ensure = provider.machineEnsure(context(), spec);
      await systemClock.sleep(round * 4);
      const [ensured] = await Promise.allSettled([ensure, other.machineRemove(context(), spec)]);
      if (ensured.status === "rejected") expect(isAppError(ensured.reason, "endpoint_busy"), String(ensured.reason)).toBe(true);
      const left = await provider.machineObserve(context(), spec);
      expect((await volumesOf(spec)).length).toBe(left === null ? 0 : 2);
      if (left !== null) expect((await provider.machineStart(context(), spec)).power).toBe("running");
      await provider.machineRemove(context(), spec);
      expect(await volumesOf(spec)).toEqual([]);
    }
    await other.close();
  });

  test("a changed machine gets another seed and loses the old one when it is stopped; running it is left alone", async () => {
    const spec = await made();
    const before = await volumesOf(spec);
    await provider.machineStart(context(), spec);
    const wanted = { ...spec, vcpus: 2, memoryMiB: 128, hosts: [{ address: "10.64.1.3", names: ["other"] }] };
    expect(await provider.machineEnsure(context(), wanted)).toMatchObject({ power: "running", vcpus: 1, memoryMiB: 96 });
    expect(await volumesOf(spec)).toEqual(before);
    await provider.machineStop(context(), spec, { graceMs: 0 });
    expect(await provider.machineEnsure(context(), wanted)).toMatchObject({ power: "stopped", vcpus: 2, memoryMiB: 128 });
    const after = await volumesOf(spec);
    expect(after.length).toBe(2);
    expect(after[0]).toBe(before[0]);
    expect(after[1]).not.toBe(before[1]);
    await provider.machineRemove(context(), spec);
  });

  test("volumes of somebody else under our name survive machineRemove", async () => {
    const spec = await made();
    const foreign = `${spec.name}.${crypto.randomUUID()}.disk`;
    await site.virsh("vol-create-as", "stratiform", foreign, "1M");
    await provider.machineRemove(context(), spec);
    expect(await volumesOf(spec)).toEqual([foreign]);
    await site.virsh("vol-delete", foreign, "stratiform");
  });

  test("a killed libvirtd: calls are unreachable, watch rejects, guests go on, the next call works", async () => {
    const spec = await made();
    await provider.machineStart(context(), spec);
    await whenReady(provider, spec, ["/bin/echo"]);
    const ready = Promise.withResolvers<void>();
    const watching = provider.watch(context(), () => {}, ready.resolve);
    const running = provider.channelRun(context(), spec, { argv: ["/bin/sleep", "60"], timeoutMs: 60_000 });
    const lost = Promise.all([expectCode("endpoint_unreachable", watching), expectCode("endpoint_unreachable", running)]);
    await ready.promise;
    await site.daemonKill();
    await lost;
    await expectCode("endpoint_unreachable", provider.machineObserve(context(), spec));
    await site.daemonStart();
    expect((await provider.machineObserve(context(), spec))?.power).toBe("running");
    const uptime = await whenReady(provider, spec, ["/bin/cat", "/proc/uptime"]);
    expect(Number(uptime.stdout.split(" ")[0])).toBeGreaterThan(1);
    await provider.machineRemove(context(), spec);
  });

  test("events of a machine's whole life arrive in order", async () => {
    const events: MachineEvent[] = [];
    const abort = new AbortController();
    const ready = Promise.withResolvers<void>();
    const watching = provider.watch(context(abort.signal), (event) => events.push(event), ready.resolve);
    await ready.promise;
    const spec = await made();
    await provider.machineStart(context(), spec);
    const agentSaid = () => events.some(({ reason }) => reason === "guest agent connected");
    await until(() => Promise.resolve(agentSaid() ? true : null));
    expect((await provider.channelRun(context(), spec, { argv: ["/bin/echo", "now"] })).stdout).toBe("now\n");
    await site.killGuest(spec.name);
    await until(() => Promise.resolve(events.some(({ power }) => power === "crashed") ? true : null));
    await provider.machineRemove(context(), spec);
    await until(() => Promise.resolve(events.some(({ power }) => power === "removed") ? true : null));
    abort.abort();
    await watching;
    const powers = events.filter(({ name }) => name === spec.name).map(({ power }) => power);
    expect(powers.filter((power, index) => power !== powers[index - 1])).toEqual(["stopped", "running", "crashed", "removed"]);
  });

  test("a guest is believed to run when its firmware speaks, and the probe leaves nothing", async () => {
    const endpoint = new LibvirtEndpoint(
      libvirtConfigSchema.parse({ socket: site.socket, pool: { name: "stratiform", path: site.poolPath } }),
    );
    const platform = await endpoint.platform(context());
    expect(platform.accelerator).toBe("tcg");
    expect(await guestRuns(endpoint, context(), "qemu", platform, 30_000)).toBe(true);
    expect(await guestRuns(endpoint, context(), "kvm", platform)).toBe(false);
    expect(await site.virsh("list", "--all", "--name")).not.toContain("strat-probe");
    endpoint.close();
  });
});

describe("images at libvirt", { timeout: 180_000 }, () => {
  let provider: Provider;

  beforeAll(() => {
    provider = libvirtOpen(site);
  });
  afterAll(() => provider.close());

  /** A qcow2 of `MiB` random bytes. */
  async function bigImage(name: string, mebibytes: number): Promise<ImageSource> {
    const raw = join(site.dir, `${name}.raw`);
    const path = join(site.dir, `${name}.qcow2`);
    await writeFile(raw, randomBytes(mebibytes * 1024 * 1024));
    await exec("qemu-img", ["convert", "-O", "qcow2", raw, path]);
    return sourceOf(path);
  }

  async function sourceOf(path: string): Promise<ImageSource> {
    const { stdout } = await exec("sha256sum", [path]);
    const digest = stdout.slice(0, 64);
    const size = (await exec("stat", ["-c", "%s", path])).stdout;
    return { name: `strat-${digest.slice(0, 16)}`, digest, format: "qcow2", sizeBytes: Number(size), path };
  }

  async function imageVolumes(source: ImageSource): Promise<string[]> {
    const lines = (await site.virsh("vol-list", "stratiform")).split("\n");
    return lines.map((line) => line.trim().split(/\s+/)[0] ?? "").filter((name) => name.startsWith(source.name));
  }

  test("an upload that breaks off is no image; the next one is whole and cleans up", async () => {
    const source = await bigImage("broken", 48);
    const abort = new AbortController();
    const broken = provider.imageEnsure(context(abort.signal), source);
    const ended = broken.catch((error: unknown) => String(error));
    await until(async () => ((await imageVolumes(source)).length > 0 ? true : null));
    abort.abort(new Error("nobody waits"));
    expect(await ended).toContain("nobody waits");
    expect((await provider.imageList(context())).map(({ name }) => name)).not.toContain(source.name);
    await expectCode("not_found", provider.machineEnsure(context(), tinySpec(site, source)));
    expect(await provider.imageEnsure(context(), source)).toEqual({
      name: source.name,
      digest: source.digest,
      sizeBytes: source.sizeBytes,
    });
    const volumes = await imageVolumes(source);
    expect(volumes.length).toBe(2);
    const path = (
      await site.virsh(
        "vol-path",
        volumes.find((name) => name.includes(source.digest))!,
        "stratiform",
      )
    ).trim();
    expect((await sourceOf(path)).digest).toBe(source.digest);
    await provider.imageRemove(context(), source);
    expect(await imageVolumes(source)).toEqual([]);
  });

  test("providers that meet at a new endpoint make one pool", async () => {
    const source = await bigImage("pool", 1);
    const pool = { name: "meeting", path: join(site.dir, "meeting") };
    const all = Array.from({ length: 4 }, () => libvirtFactory.open({ socket: site.socket, pool }));
    const made = await Promise.all(all.map((one) => one.imageEnsure(context(), source)));
    expect(new Set(made.map((facts) => JSON.stringify(facts))).size).toBe(1);
    const elsewhere = libvirtFactory.open({ socket: site.socket, pool: { ...pool, path: join(site.dir, "elsewhere") } });
    await expectCode("endpoint_refused", elsewhere.imageList(context()));
    await all[0]!.imageRemove(context(), source);
    for (const one of [...all, elsewhere]) await one.close();
    await site.virsh("pool-destroy", pool.name);
    await site.virsh("pool-undefine", pool.name);
  });

  test("two uploaders at once: one image, one copy of its data", async () => {
    const source = await bigImage("twice", 24);
    const other = libvirtOpen(site);
    await Promise.all([provider.imageEnsure(context(), source), other.imageEnsure(context(), source)]);
    await provider.imageEnsure(context(), source);
    expect((await imageVolumes(source)).length).toBe(2);
    await provider.imageRemove(context(), source);
    await other.close();
  });

  test("a file that is not what was announced, no qcow2, or that reads other files is refused and leaves nothing", async () => {
    const source = await bigImage("wrong", 1);
    const wrong = { ...source, digest: createHash("sha256").update("other").digest("hex") };
    await expectCode("invalid_input", provider.imageEnsure(context(), wrong));
    const raw = await sourceOf(join(site.dir, "wrong.raw"));
    await expectCode("invalid_input", provider.imageEnsure(context(), raw));
    const thief = join(site.dir, "thief.qcow2");
    await exec("qemu-img", ["create", "-f", "qcow2", "-F", "raw", "-b", "/etc/passwd", thief]);
    const stealing = await sourceOf(thief);
    await expectCode("invalid_input", provider.imageEnsure(context(), stealing));
    for (const one of [wrong, raw, stealing]) expect(await imageVolumes(one)).toEqual([]);
  });
});
