/** A guest that hangs while a command is on its way to it: ended by force, its next boot takes commands again and nothing is lost. */
import { afterAll, beforeAll, expect, test } from "vitest";
import { exec } from "#lib/exec.ts";
import { callContext } from "#provider/conformance/subject.ts";
import type { ImageSource, MachineSpec, Provider } from "#provider/contract.ts";
import { libvirtFactory } from "#providers/libvirt/provider.ts";
import { tinyNodeImage } from "../support/libvirt-subject.ts";
import { startTestSite, testOwner, type TestSite } from "../support/site.ts";

let site: TestSite;
let image: ImageSource;
let provider: Provider;
let spec: MachineSpec;
beforeAll(async () => {
  image = await tinyNodeImage();
  site = await startTestSite();
  provider = libvirtFactory.open(site.libvirtConfig);
  const { attachment } = await site.segment({ prefix: "10.64.1.0/24", gateway: "10.64.1.1" });
  await provider.imageEnsure(callContext(), image);
  spec = {
    name: "shanging-node-0",
    owner: testOwner(),
    kind: "vm",
    image: { name: image.name, digest: image.digest },
    vcpus: 1,
    memoryMiB: 96,
    nics: [{ name: "eth0", attachment, mac: "02:00:00:00:01:10", address: "10.64.1.10", prefixLength: 24 }],
    volumes: [],
    hostname: "node-0",
    hosts: [],
  };
});
afterAll(async () => {
  await provider?.close();
  await site?.stop();
});

const bootLimitMs = 120_000;
const callLimitMs = 3_000;
const echo = { argv: ["/bin/echo", "here"] };

async function answers(): Promise<string> {
  return (await provider.channelRun(callContext(), spec, echo).catch(() => ({ stdout: "" }))).stdout;
}

async function qemuStop(): Promise<void> {
  const script = `for p in /proc/[0-9]*; do tr '\\0' '\\n' < $p/cmdline 2>/dev/null | grep -q "^guest=${spec.name}," && kill -STOP \${p#/proc/}; done; true`;
  await exec("nsenter", site.inside("sh", "-c", script), { timeoutMs: 10_000 });
}

test(
  "a guest that hung and was ended by force takes commands after its next boot, and has its snapshots",
  { timeout: 400_000 },
  async () => {
    await provider.machineEnsure(callContext(), spec);
    await provider.snapshotEnsure(callContext(), spec, "before");
    await provider.machineStart(callContext(), spec);
    await expect.poll(answers, { timeout: bootLimitMs, interval: 200 }).toBe("here\n");
    await qemuStop();
    await expect(provider.channelRun(callContext(AbortSignal.timeout(callLimitMs)), spec, echo)).rejects.toMatchObject({
      name: "TimeoutError",
    });
    await provider.machineStop(callContext(), spec, { graceMs: 0 });
    expect(await provider.machineStart(callContext(), spec)).toMatchObject({ power: "running", owner: spec.owner });
    await expect.poll(answers, { timeout: bootLimitMs, interval: 200 }).toBe("here\n");
    expect((await provider.snapshotList(callContext(), spec)).map(({ name }) => name)).toEqual(["before"]);
    await provider.machineRemove(callContext(), spec);
  },
);
