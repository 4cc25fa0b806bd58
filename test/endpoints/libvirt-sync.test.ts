/** What people change by hand at a machine that runs comes back with the next `machineEnsure`, without a restart, where libvirt can. */
import { join } from "node:path";
import { writeFile } from "node:fs/promises";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { isAppError } from "#domain/error.ts";
import { systemClock } from "#lib/clock.ts";
import { callContext } from "#provider/conformance/subject.ts";
import type { ImageSource, MachineSpec, Provider } from "#provider/contract.ts";
import { libvirtSiteStart, type LibvirtSite } from "../support/libvirt-site.ts";
import { libvirtOpen, tinyNodeImage, tinySpec } from "../support/libvirt-subject.ts";

let site: LibvirtSite;
let image: ImageSource;
let provider: Provider;

beforeAll(async () => {
  [site, image] = await Promise.all([libvirtSiteStart(), tinyNodeImage()]);
  await site.run("ip", "link", "add", "br-other", "type", "bridge");
  provider = libvirtOpen(site);
  await provider.imageEnsure(callContext(), image);
}, 300_000);
afterAll(async () => {
  await provider?.close();
  await site?.stop();
});

async function until<T>(look: () => Promise<T | null>): Promise<T> {
  for (;;) {
    const seen = await look();
    if (seen !== null) return seen;
    await systemClock.sleep(50);
  }
}

const inGuest = (spec: MachineSpec, script: string) =>
  until(() =>
    provider.channelRun(callContext(), spec, { argv: ["/bin/sh", "-c", script] }).catch((error: unknown) => {
      if (isAppError(error, "endpoint_busy")) return null;
      throw error;
    }),
  );

/** Started; whether its guest is up already does not matter to what QEMU does alone. */
async function running(overrides: Partial<MachineSpec>): Promise<MachineSpec> {
  const spec = tinySpec(site, image, overrides);
  await provider.machineEnsure(callContext(), spec);
  await provider.machineStart(callContext(), spec);
  return spec;
}

const volumes = [{ name: "data", sizeMiB: 16 }];
const twoNics = (spec: MachineSpec) => {
  const [first] = spec.nics as [MachineSpec["nics"][0]];
  const second = { ...first, name: "eth1", mac: first.mac.replace(/^02:00/, "02:01"), address: "10.64.2.9" };
  return { ...spec, nics: [first, second] };
};

describe("a machine that runs", { timeout: 180_000 }, () => {
  test("memory that somebody took with the balloon returns", async () => {
    const spec = await running({ memoryMiB: 128 });
    await inGuest(spec, "true");
    await site.virsh("setmem", spec.name, "112M", "--live");
    await until(async () => ((await provider.machineObserve(callContext(), spec))?.memoryMiB === 112 ? true : null));
    await provider.machineEnsure(callContext(), spec);
    await until(async () => ((await provider.machineObserve(callContext(), spec))?.memoryMiB === 128 ? true : null));
    await provider.machineRemove(callContext(), spec);
  });

  test("vCPUs that somebody kept from it are plugged in", async () => {
    const spec = tinySpec(site, image, { vcpus: 2 });
    await provider.machineEnsure(callContext(), spec);
    await site.virsh("setvcpus", spec.name, "1", "--config");
    expect(await provider.machineStart(callContext(), spec)).toMatchObject({ vcpus: 1 });
    expect(await provider.machineEnsure(callContext(), spec)).toMatchObject({ power: "running", vcpus: 2 });
    const seen = await inGuest(spec, "ls -d /sys/devices/system/cpu/cpu1");
    expect(seen.exitCode).toBe(0);
    await provider.machineStop(callContext(), spec, { graceMs: 0 });
    expect(await provider.machineStart(callContext(), spec)).toMatchObject({ vcpus: 2 });
    await provider.machineRemove(callContext(), spec);
  });

  test("a NIC goes back to its bridge, and a lost one to its place among others", async () => {
    const base = tinySpec(site, image);
    const spec = twoNics(base);
    const facts = await provider.machineEnsure(callContext(), spec);
    expect(facts.nics.map(({ mac }) => mac)).toEqual(spec.nics.map(({ mac }) => mac));
    await provider.machineStart(callContext(), spec);
    const [first, second] = spec.nics as [MachineSpec["nics"][0], MachineSpec["nics"][0]];
    const moved = join(site.dir, "moved.xml");
    const xml = await site.virsh("dumpxml", spec.name);
    const nic = [...xml.matchAll(/<interface [^]*?<\/interface>/g)].map(([text]) => text).find((text) => text.includes(second.mac))!;
    await writeFile(moved, nic.replace(site.bridge, "br-other"));
    await site.virsh("update-device", spec.name, moved, "--live");
    expect((await provider.machineObserve(callContext(), spec))?.nics[1]?.attachment).toBe("br-other");
    await inGuest(spec, "true");
    await site.virsh("detach-interface", spec.name, "bridge", "--mac", first.mac, "--live");
    await until(async () => ((await provider.machineObserve(callContext(), spec))?.nics.length === 1 ? true : null));
    expect((await provider.machineEnsure(callContext(), spec)).nics).toEqual(facts.nics);
    const ports = await site.run("ls", `/sys/class/net/${site.bridge}/brif`);
    expect(ports.split("\n").filter(Boolean).length).toBe(2);
    await provider.machineRemove(callContext(), spec);
  });

  test("a definition that was changed by hand is brought back while it runs", async () => {
    const spec = await running({ volumes });
    await site.virsh("detach-interface", spec.name, "bridge", "--mac", spec.nics[0]!.mac, "--config");
    await site.virsh("setvcpus", spec.name, "1", "--config");
    await site.virsh("detach-disk", spec.name, "vdc", "--config");
    await provider.machineEnsure(callContext(), spec);
    const definition = await site.virsh("dumpxml", "--inactive", spec.name);
    expect(definition).toContain(spec.nics[0]!.mac);
    expect(definition).toContain("<serial>data</serial>");
    expect(definition).toContain(".seed-");
    await provider.machineStop(callContext(), spec, { graceMs: 0 });
    expect(await provider.machineEnsure(callContext(), spec)).toMatchObject({ volumes });
    await provider.machineRemove(callContext(), spec);
  });

  test("a volume that was taken from it comes back with what is on it", async () => {
    const spec = await running({ volumes });
    const device = 'd=$(for s in /sys/block/vd*/serial; do [ "$(cat $s)" = data ] && basename $(dirname $s); done)';
    await inGuest(spec, `${device}; echo kept | dd of=/dev/$d bs=512 conv=sync,fsync`);
    await site.virsh("detach-disk", spec.name, "vdc", "--live", "--config");
    await until(async () => ((await provider.machineObserve(callContext(), spec))?.volumes.length === 0 ? true : null));
    const grown = [{ name: "data", sizeMiB: 32 }];
    expect(await provider.machineEnsure(callContext(), { ...spec, volumes: grown })).toMatchObject({ power: "running", volumes: grown });
    const seen = await until(async () => {
      const { stdout } = await inGuest(spec, `${device}; [ -n "$d" ] && dd if=/dev/$d bs=5 count=1; cat /sys/block/$d/size`);
      return stdout.includes("65536") ? stdout : null;
    });
    expect(seen).toContain("kept\n");
    await provider.machineRemove(callContext(), spec);
  });

  test("a volume with snapshots grows, and goes back with one", async () => {
    const spec = await running({ volumes });
    await provider.snapshotEnsure(callContext(), spec, "one");
    const grown = [{ name: "data", sizeMiB: 64 }];
    expect(await provider.machineEnsure(callContext(), { ...spec, volumes: grown })).toMatchObject({ power: "running", volumes: grown });
    await provider.machineStop(callContext(), spec, { graceMs: 0 });
    await provider.snapshotRevert(callContext(), spec, "one");
    expect(await provider.machineObserve(callContext(), spec)).toMatchObject({ volumes });
    await provider.machineRemove(callContext(), spec);
  });

  test("nothing is changed at a machine that is as it should be", async () => {
    const spec = await running({ volumes });
    const before = [await site.virsh("dumpxml", spec.name), await site.virsh("dumpxml", "--inactive", spec.name)];
    await provider.machineEnsure(callContext(), spec);
    expect([await site.virsh("dumpxml", spec.name), await site.virsh("dumpxml", "--inactive", spec.name)]).toEqual(before);
    await provider.machineRemove(callContext(), spec);
  });
});
