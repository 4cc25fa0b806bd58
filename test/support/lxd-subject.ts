/** The LXD of a test site as a subject of the provider conformance suite, and what other tests of that provider need. */
import { randomUUID } from "node:crypto";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { buildImage } from "#agent/image-build.ts";
import { exec } from "#lib/exec.ts";
import { silentLog } from "#lib/log.ts";
import type { ConformanceSubject } from "#provider/conformance.ts";
import type { ImageSource, MachineRef, MachineSpec } from "#provider/contract.ts";
import { lxdCapabilities, lxdFactory } from "#providers/lxd/provider.ts";
import type { TestSite } from "./site.ts";

/** Shared with other tests and kept: a build is complete or absent. */
const imageCacheDir = join(tmpdir(), "stratiform-test-images");

export async function tinyEdgeImage(): Promise<ImageSource> {
  const recipe = join(import.meta.dirname, "../../images/tiny-edge");
  const { variants } = await buildImage({ recipe, cacheDir: imageCacheDir, log: silentLog });
  const variant = variants.find(({ format }) => format === "lxd");
  if (variant === undefined) throw new Error("the recipe makes no image for LXD");
  const { digest, sizeBytes, path } = variant;
  return { name: `strat-${digest.slice(0, 16)}`, digest, format: "lxd", sizeBytes, path };
}

/** LXD's own client, for what must happen behind the provider's back. */
export async function lxc(site: TestSite, ...args: string[]): Promise<string> {
  return (await exec("lxc", args, { env: { ...process.env, LXD_DIR: dirname(site.lxdConfig.socket) } })).stdout;
}

export function freshRef(name: string): MachineRef {
  return { name, owner: { installation: randomUUID(), vapp: randomUUID(), object: randomUUID() } };
}

let machines = 0;

/** A small machine on `attachment`, which must carry 10.64.1.0/24. */
export function lxdMachine(image: ImageSource, attachment: string, overrides: MachineRef & Partial<MachineSpec>): MachineSpec {
  const host = (machines++ % 240) + 10;
  const mac = `02:00:00:00:01:${host.toString(16).padStart(2, "0")}`;
  const nic = { name: "eth0", attachment, mac, address: `10.64.1.${host}`, prefixLength: 24, gateway: "10.64.1.1" };
  const hosts = [{ address: nic.address, names: ["edge-0", "edge"] }];
  return { kind: "container", image, vcpus: 1, memoryMiB: 64, nics: [nic], volumes: [], hostname: "edge-0", hosts, ...overrides };
}

/** kill -9 of a container's first process; waits until LXD has noticed, because until then it is right to say "running". */
async function kill(site: TestSite, name: string): Promise<void> {
  const pid = Number(/^PID: (\d+)/im.exec(await lxc(site, "info", name))?.[1]);
  if (!(pid > 1)) throw new Error(`${name} has no process`);
  await exec("nsenter", site.inside("kill", "-KILL", String(pid)));
  while (!/^Status: STOPPED/im.test(await lxc(site, "info", name))) await new Promise((resolve) => setTimeout(resolve, 20));
}

export function lxdSubject(world: () => { site: TestSite; attachment: string; image: ImageSource }): ConformanceSubject {
  return {
    name: "lxd",
    capabilities: lxdCapabilities,
    open: () => lxdFactory.open(world().site.lxdConfig),
    openUnreachable: () => lxdFactory.open({ ...world().site.lxdConfig, socket: `${world().site.lxdConfig.socket}.missing` }),
    machine: (overrides) => lxdMachine(world().image, world().attachment, overrides),
    imageSource: () => world().image,
    foreign: {
      create: async (name) => void (await lxc(world().site, "init", "--empty", "--no-profiles", "--storage", "stratiform", name)),
      fingerprint: (name) => lxc(world().site, "config", "show", name).catch(() => ""),
      remove: async (name) => void (await lxc(world().site, "delete", "--force", name)),
    },
    kill: (name) => kill(world().site, name),
    byHand: {
      nicRemove: async (name, nic) => void (await lxc(world().site, "config", "device", "remove", name, nic.name)),
      memorySet: async (name, memoryMiB) => void (await lxc(world().site, "config", "set", name, "limits.memory", `${memoryMiB}MiB`)),
    },
    content: fileContent,
    async leftovers(name) {
      const instances = (await lxc(world().site, "list", "--format", "csv", "--columns", "n")).split("\n").filter((line) => line === name);
      const volumes = (await lxc(world().site, "storage", "volume", "list", "stratiform", "--format", "csv")).split("\n");
      return [...instances, ...volumes.filter((line) => line.includes(name))];
    },
  };
}

const markPath = (volume: string | null) => (volume === null ? "/root/mark" : `/var/lib/stratiform/volumes/${volume}/mark`);

/** Marks in files of the container. */
const fileContent: ConformanceSubject["content"] = {
  async write(provider, ctx, spec, volume, text) {
    const script = `mkdir -p /root && cat > ${markPath(volume)} && sync`;
    const { exitCode, stderr } = await provider.channelRun(ctx, spec, { argv: ["/bin/sh", "-c", script], stdin: text });
    if (exitCode !== 0) throw new Error(`the mark was not written: ${stderr}`);
  },
  read: async (provider, ctx, spec, volume) => (await provider.channelRun(ctx, spec, { argv: ["/bin/cat", markPath(volume)] })).stdout,
};
