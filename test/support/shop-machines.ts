/**
 * Machines of the shop at the real daemons of a test site, with contexts written by hand: for tests of the images alone, without a
 * control plane.
 *
 *     const shop = await startShop();
 *     const web = await shop.machine("web-0", "shop-web", ["front", "back"]);    // built, imported, created, started
 *     await shop.apply(web, { config: { ... } });                               // as the configuration channel does it
 *     await shop.http(web, "/health")                                            // by the fabric's reach
 *     await shop.stop();
 */
import { randomUUID } from "node:crypto";
import http from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { buildImage } from "#agent/image-build.ts";
import { isAppError } from "#domain/error.ts";
import { linuxFabricFactory } from "#fabrics/linux/fabric.ts";
import type { Fabric, SegmentFacts } from "#fabric/contract.ts";
import { silentLog } from "#lib/log.ts";
import { callContext } from "#provider/conformance/subject.ts";
import type { ChannelResult, ImageSource, MachineSpec, Provider, VolumeSpec } from "#provider/contract.ts";
import { libvirtFactory } from "#providers/libvirt/provider.ts";
import { lxdFactory } from "#providers/lxd/provider.ts";
import { startTestSite, type TestSite } from "./site.ts";

type SegmentName = "front" | "back";

export interface ShopMachine {
  readonly spec: MachineSpec;
  readonly provider: Provider;
  readonly addresses: Readonly<Partial<Record<SegmentName, string>>>;
}

export interface MachineWish {
  readonly volumes?: readonly VolumeSpec[];
}

export interface HttpAnswer {
  readonly status: number;
  readonly headers: http.IncomingHttpHeaders;
  readonly body: string;
}

export interface Shop {
  readonly site: TestSite;
  readonly fabric: Fabric;
  /** Made and started; not configured. */
  machine(name: string, image: string, segments: readonly SegmentName[], wish?: MachineWish): Promise<ShopMachine>;
  /** Until the channel answers. */
  ready(machine: ShopMachine): Promise<void>;
  run(machine: ShopMachine, argv: readonly string[], stdin?: string, timeoutMs?: number): Promise<ChannelResult>;
  shell(machine: ShopMachine, script: string): Promise<string>;
  /** Runs `apply` with self, tiers and generation filled in from the machines there are. Throws when it fails. */
  apply(machine: ShopMachine, context: object): Promise<void>;
  tryApply(machine: ShopMachine, context: object): Promise<ChannelResult>;
  http(
    machine: ShopMachine,
    path: string,
    options?: { method?: string; body?: string; headers?: Record<string, string> },
  ): Promise<HttpAnswer>;
  /** Off as by a power cut. */
  kill(machine: ShopMachine): Promise<void>;
  start(machine: ShopMachine): Promise<void>;
  /** Asks the guest first. */
  restart(machine: ShopMachine): Promise<void>;
  /** Whether something accepts connections. */
  isOpen(machine: ShopMachine, port: number): Promise<boolean>;
  stop(): Promise<void>;
}

const cacheDir = join(tmpdir(), "stratiform-test-images");
const prefixes: Readonly<Record<SegmentName, string>> = { front: "10.64.1", back: "10.64.2" };
const sleep = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));

/** Asks until it is so. */
export async function until(what: string, holds: () => Promise<boolean>, limitMs = 60_000): Promise<void> {
  const deadline = Date.now() + limitMs;
  while (!(await holds().catch(() => false))) {
    if (Date.now() > deadline) throw new Error(`not in ${limitMs} ms: ${what}`);
    await sleep(100);
  }
}

async function imageOf(name: string): Promise<ImageSource> {
  const { variants } = await buildImage({ recipe: join(import.meta.dirname, "../../images", name), cacheDir, log: silentLog });
  const { digest, sizeBytes, path, format } = variants[0]!;
  return { name: `strat-${digest.slice(0, 16)}`, digest, format, sizeBytes, path };
}

export async function startShop(): Promise<Shop> {
  const site = await startTestSite();
  const fabric = linuxFabricFactory.open(site.fabricConfig);
  const segments: Record<SegmentName, SegmentFacts> = {
    front: await site.segment({ prefix: `${prefixes.front}.0/24`, gateway: `${prefixes.front}.1` }),
    back: await site.segment({ prefix: `${prefixes.back}.0/24`, gateway: `${prefixes.back}.1`, isolated: true }),
  };
  const libvirt = libvirtFactory.open(site.libvirtConfig);
  const lxd = lxdFactory.open(site.lxdConfig);
  const machines: ShopMachine[] = [];
  const ctx = () => callContext();

  async function machine(name: string, image: string, on: readonly SegmentName[], wish: MachineWish = {}): Promise<ShopMachine> {
    const source = await imageOf(image);
    const provider = source.format === "lxd" ? lxd : libvirt;
    await provider.imageEnsure(ctx(), source);
    const host = 10 + machines.length;
    const nics = on.map((segment, i) => ({
      name: `eth${i}`,
      attachment: segments[segment].attachment,
      mac: `02:00:00:00:0${i}:${host.toString(16).padStart(2, "0")}`,
      address: `${prefixes[segment]}.${host}`,
      prefixLength: 24,
      ...(segment === "front" ? { gateway: `${prefixes.front}.1` } : {}),
    }));
    const spec: MachineSpec = {
      name: `shop-${name}-${randomUUID().slice(0, 6)}`,
      owner: { installation: randomUUID(), vapp: randomUUID(), object: randomUUID() },
      kind: source.format === "lxd" ? "container" : "vm",
      image: source,
      vcpus: 1,
      memoryMiB: 256,
      nics,
      volumes: wish.volumes ?? [],
      hostname: name,
      hosts: [],
    };
    const made = { spec, provider, addresses: Object.fromEntries(on.map((segment, i) => [segment, nics[i]!.address])) };
    machines.push(made);
    await provider.machineEnsure(ctx(), spec);
    await provider.machineStart(ctx(), spec);
    return made;
  }

  /** As the core does it, asks again while the guest agent is not ready. */
  async function run(m: ShopMachine, argv: readonly string[], stdin = "", timeoutMs = 60_000): Promise<ChannelResult> {
    for (let attempt = 1; ; attempt++) {
      try {
        return await m.provider.channelRun(ctx(), m.spec, { argv, stdin, timeoutMs });
      } catch (error) {
        if (!isAppError(error, "endpoint_busy") || attempt === 100) throw error;
        await sleep(200);
      }
    }
  }

  /** What the control plane writes: names, addresses, and who else there is. */
  function contextOf(m: ShopMachine, given: object): object {
    const tiers: Record<string, { name: string; addresses: object }[]> = {};
    for (const { spec, addresses } of machines) (tiers[spec.hostname.split("-")[0]!] ??= []).push({ name: spec.hostname, addresses });
    const [tier, index] = m.spec.hostname.split("-");
    const self = { name: m.spec.hostname, tier, index: Number(index), addresses: m.addresses };
    return { generation: 1, self, tiers, volumes: m.spec.volumes, ...given };
  }

  async function tryApply(m: ShopMachine, given: object): Promise<ChannelResult> {
    return await run(m, ["/usr/lib/stratiform/apply"], JSON.stringify(contextOf(m, given)), 120_000);
  }

  const reachOf = (m: ShopMachine, port: number) => {
    const name: SegmentName = m.addresses.front === undefined ? "back" : "front";
    return fabric.reach(ctx(), { segment: segments[name].name, address: m.addresses[name]!, port });
  };

  async function start(m: ShopMachine): Promise<void> {
    await m.provider.machineStart(ctx(), m.spec);
    await ready(m);
  }

  const ready = (m: ShopMachine) => until(`${m.spec.hostname} answers`, async () => (await run(m, ["/bin/true"])).exitCode === 0);

  return {
    site,
    fabric,
    machine,
    start,
    ready,
    kill: (m) => m.provider.machineStop(ctx(), m.spec, { graceMs: 0 }),
    async restart(m) {
      await m.provider.machineStop(ctx(), m.spec, { graceMs: 30_000 });
      await start(m);
    },
    run,
    shell: async (m, script) => (await run(m, ["/bin/sh", "-c", script])).stdout,
    tryApply,
    async apply(m, given) {
      const { exitCode, stderr } = await tryApply(m, given);
      if (exitCode !== 0) throw new Error(`apply on ${m.spec.hostname}: ${exitCode}: ${stderr}`);
    },
    async http(m, path, { method = "GET", body, headers = {} } = {}) {
      const socket = await reachOf(m, 80);
      return await new Promise<HttpAnswer>((resolve, reject) => {
        const length = body === undefined ? {} : { "content-length": String(Buffer.byteLength(body)) };
        const options = { method, path, headers: { host: "shop", connection: "close", ...length, ...headers } };
        const request = http.request({ ...options, createConnection: () => socket as never }, (response) => {
          let text = "";
          response.on("data", (chunk: Buffer) => (text += chunk.toString()));
          response.on("end", () => resolve({ status: response.statusCode ?? 0, headers: response.headers, body: text }));
          response.on("error", reject);
        });
        const limit = setTimeout(() => request.destroy(new Error("no answer")), 15_000);
        request.on("close", () => clearTimeout(limit));
        request.on("error", reject);
        request.end(body);
      }).finally(() => socket.destroy());
    },
    isOpen: (m, port) =>
      reachOf(m, port).then(
        (socket) => {
          socket.destroy();
          return true;
        },
        () => false,
      ),
    async stop() {
      for (const { provider, spec } of machines) await provider.machineRemove(ctx(), spec).catch(() => {});
      await Promise.all([libvirt.close(), lxd.close(), fabric.close()]);
      await site.stop();
    },
  };
}
