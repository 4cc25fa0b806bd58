/** The libvirt provider at a private libvirtd with the tiny image, as the conformance suite and our own tests want it. */
import { randomUUID } from "node:crypto";
import { writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { buildImage } from "#agent/image-build.ts";
import { silentLog } from "#lib/log.ts";
import type { ConformanceSubject } from "#provider/conformance.ts";
import type { ImageSource, MachineRef, MachineSpec, Provider } from "#provider/contract.ts";
import { libvirtCapabilities, libvirtFactory } from "#providers/libvirt/provider.ts";
import type { LibvirtSite } from "./libvirt-site.ts";

/** Shared with other tests and kept: a build is complete or absent. */
const imageCacheDir = join(tmpdir(), "stratiform-test-images");

export async function tinyNodeImage(): Promise<ImageSource> {
  const recipe = join(import.meta.dirname, "../../images/tiny-node");
  const { variants } = await buildImage({ recipe, cacheDir: imageCacheDir, log: silentLog });
  const variant = variants.find(({ format }) => format === "qcow2");
  if (variant === undefined) throw new Error("the recipe makes no qcow2");
  const { digest, sizeBytes, path } = variant;
  return { name: `strat-${digest.slice(0, 16)}`, digest, format: "qcow2", sizeBytes, path };
}

export function libvirtOpen(site: LibvirtSite, socket: string = site.socket): Provider {
  return libvirtFactory.open({ socket, pool: { name: "stratiform", path: site.poolPath } });
}

let machines = 0;

export function tinySpec(site: LibvirtSite, image: ImageSource, overrides: Partial<MachineSpec> = {}): MachineSpec {
  const host = (machines++ % 250) + 2;
  const address = `10.64.1.${host}`;
  const mac = `02:00:00:00:01:${host.toString(16).padStart(2, "0")}`;
  return {
    name: `s${randomUUID().slice(0, 8)}-node-0`,
    owner: { installation: randomUUID(), vapp: randomUUID(), object: randomUUID() },
    kind: "vm",
    image: { name: image.name, digest: image.digest },
    vcpus: 1,
    memoryMiB: 96,
    nics: [{ name: "eth0", attachment: site.bridge, mac, address, prefixLength: 24 }],
    volumes: [],
    hostname: "node-0",
    hosts: [{ address, names: ["node-0", "node"] }],
    ...overrides,
  };
}

/** `site` and `image` are asked for inside tests, when they exist. */
export function libvirtSubject(site: () => LibvirtSite, image: () => ImageSource): ConformanceSubject {
  return {
    name: "libvirt",
    capabilities: libvirtCapabilities,
    open: () => libvirtOpen(site()),
    openUnreachable: () => libvirtOpen(site(), `${site().socket}.missing`),
    machine: (overrides: MachineRef & Partial<MachineSpec>) => tinySpec(site(), image(), overrides),
    imageSource: image,
    foreign: {
      create: (name) => foreignDomain(site(), name),
      fingerprint: (name) =>
        Promise.all([site().virsh("dumpxml", name), site().virsh("domstate", "--reason", name)]).then(
          (parts) => parts.join(),
          () => "",
        ),
      remove: async (name) => void (await site().virsh("undefine", name)),
    },
    kill: async (name) => {
      await site().killGuest(name);
      await stoppedAtEndpoint(site(), name);
    },
    byHand: {
      async nicRemove(name, { mac }) {
        await site().virsh("detach-interface", name, "bridge", "--mac", mac, "--live", "--config");
        await seenByVirsh(site(), name, `${name} lost its NIC`, (xml) => !xml.includes(mac));
      },
      // As `virsh edit` does. `virsh setmaxmem` of a machine that is off makes no event in libvirt 9.0: only a look shows it.
      async memorySet(name, memoryMiB) {
        const definition = await site().virsh("dumpxml", "--inactive", name);
        const memory = `<memory unit='MiB'>${memoryMiB}</memory>`;
        const changed = definition.replace(/<memory [^]*<\/currentMemory>/, memory);
        await virshDefine(site(), `${name}.edited`, changed);
      },
    },
    content: rawContent,
    leftovers: async (name) => {
      const domains = (await site().virsh("list", "--all", "--name")).split("\n").filter((line) => line.trim() === name);
      // A file of a machine is NAME.something, of whatever kind; the pool's folder is the truth, not its cached list.
      const files = (await site().run("find", site().poolPath, "-name", `${name}.*`)).split("\n").filter((line) => line !== "");
      return [...domains, ...files];
    },
  };
}

/** A sector that no guest of ours uses: behind the files of the image, and in the middle of a small volume. */
const sectorOf = (volume: string | null) => (volume === null ? 81_000 : 20_000);
const deviceOf = (volume: string | null) =>
  volume === null
    ? "device=vda"
    : `device=$(for s in /sys/block/vd*/serial; do [ "$(cat $s)" = ${volume} ] && basename $(dirname $s); done)`;

/** Marks in a sector of the disk itself: the tiny guest has no file system on it. */
const rawContent: ConformanceSubject["content"] = {
  async write(provider, ctx, spec, volume, text) {
    const script = `${deviceOf(volume)}; [ -n "$device" ] && dd of=/dev/$device bs=512 seek=${sectorOf(volume)} count=1 conv=notrunc,sync,fsync`;
    const { exitCode, stderr } = await provider.channelRun(ctx, spec, { argv: ["/bin/sh", "-c", script], stdin: text });
    if (exitCode !== 0) throw new Error(`the mark was not written: ${stderr}`);
  },
  async read(provider, ctx, spec, volume) {
    const script = `${deviceOf(volume)}; dd if=/dev/$device bs=512 skip=${sectorOf(volume)} count=1 | tr -d '\\000'`;
    return (await provider.channelRun(ctx, spec, { argv: ["/bin/sh", "-c", script] })).stdout;
  },
};

/** Waits until the definition shows it. The guest has its say in the removal of a device. */
async function seenByVirsh(site: LibvirtSite, name: string, what: string, holds: (xml: string) => boolean): Promise<void> {
  for (let attempt = 0; attempt < 200; attempt++) {
    if (holds(await site.virsh("dumpxml", name))) return;
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  throw new Error(`not seen in time: ${what}`);
}

/** A domain as somebody else would define it: no mark, another uuid. */
async function foreignDomain(site: LibvirtSite, name: string): Promise<void> {
  const xml = `<domain type='qemu'><name>${name}</name><memory unit='MiB'>64</memory><os><type arch='x86_64' machine='q35'>hvm</type></os></domain>`;
  await virshDefine(site, "foreign", xml);
}

async function virshDefine(site: LibvirtSite, file: string, xml: string): Promise<void> {
  const path = join(site.dir, `${file}.xml`);
  await writeFile(path, xml);
  await site.virsh("define", path);
}

/** The kernel is done with the process at once, libvirt learns of it a moment later. */
async function stoppedAtEndpoint(site: LibvirtSite, name: string): Promise<void> {
  for (let attempt = 0; attempt < 100; attempt++) {
    if (!(await site.virsh("domstate", name)).includes("running")) return;
  }
  throw new Error(`${name} still runs`);
}
