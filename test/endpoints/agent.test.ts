/** The host agent on the real machine: what it promises beyond the fabric contract. One site; the last test takes it down. */
import { spawn } from "node:child_process";
import { mkdtemp, readFile, rm, stat } from "node:fs/promises";
import { join } from "node:path";
import { tmpdir } from "node:os";
import { text } from "node:stream/consumers";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { Fabric, SegmentFacts } from "#fabric/contract.ts";
import { linuxFabricFactory } from "#fabrics/linux/fabric.ts";
import { systemClock } from "#lib/clock.ts";
import { exec } from "#lib/exec.ts";
import { acceleratorBoots } from "#agent/accelerator.ts";
import { siteLayout } from "#agent/site-layout.ts";
import { silentLog } from "#lib/log.ts";
import { processIdentify, processIsAlive } from "#lib/process-identity.ts";
import { unixRequest } from "#lib/unix-http.ts";
import { attachProbeHost, hostItself } from "../support/probe-host.ts";
import { hostSettings, siteIdentify, siteTraces } from "../support/site-traces.ts";
import type { SiteIdentity } from "../support/site-traces.ts";
import { siteCall, startTestSite, testOwner } from "../support/site.ts";
import type { TestSite } from "../support/site.ts";
import { busyboxContainerStart, busyboxImageImport, lxc } from "../support/tiny-container.ts";

const agentFile = fileURLToPath(new URL("../../src/agent/main.ts", import.meta.url));
const containerAddress = "10.64.1.5";

let settingsBefore: string[];
let site: TestSite;
let identity: SiteIdentity;
let fabric: Fabric;
let segment: SegmentFacts;

const context = () => ({ signal: AbortSignal.timeout(30_000), log: silentLog, clock: systemClock });

async function containerPage(): Promise<string> {
  const stream = await fabric.reach(context(), { segment: segment.name, address: containerAddress, port: 80 });
  stream.write("GET / HTTP/1.0\r\n\r\n");
  return (await text(stream)).split("\r\n\r\n")[1] ?? "";
}

beforeAll(async () => {
  settingsBefore = await hostSettings();
  site = await startTestSite();
  identity = await siteIdentify(site);
  fabric = linuxFabricFactory.open(site.fabricConfig);
  segment = await site.segment({ prefix: "10.64.1.0/24", gateway: "10.64.1.1", isolated: true });
  await busyboxImageImport(site);
  await busyboxContainerStart(site, "one", segment, containerAddress);
}, 120_000);
afterAll(async () => {
  await fabric.close();
  await site.stop();
}, 120_000);

test("a container on an isolated segment answers through reach", async () => {
  expect(await containerPage()).toBe("container");
});

test("the guest that probes an accelerator boots where it can, and says so", async () => {
  expect(await acceleratorBoots("tcg", 20_000, tmpdir())).toBe(true);
});

test("only root may talk to the agent", async () => {
  expect((await stat(site.fabricConfig.socket)).mode & 0o777).toBe(0o600);
});

test("a killed agent takes nothing with it, and the next one adopts the site", async () => {
  const owner = testOwner();
  const target = { segment: segment.name, address: containerAddress, port: 80 };
  const exposed = await fabric.exposureEnsure(context(), { name: "page", owner, target });
  const holder = await processIdentify(site.holderPid());
  await site.agentKill();
  expect(await processIsAlive(holder!)).toBe(true);
  expect(await lxc(site, "list", "-c", "ns", "--format", "csv")).toBe("one,RUNNING\n");
  await expect(containerPage()).rejects.toMatchObject({ code: "endpoint_unreachable" });
  await site.agentStart();
  const up = await siteCall(site.fabricConfig.socket, "PUT");
  expect(up.site?.state).toBe("up");
  expect(site.holderPid()).toBe(holder!.pid);
  expect(await containerPage()).toBe("container");
  const answer = await fetch(`http://${exposed.address}:${exposed.port}/`);
  expect(await answer.text()).toBe("container");
  await fabric.exposureRemove(context(), { name: "page", owner });
});

test("a second agent on the same home, and a second site of the same name, are refused", async () => {
  const same = await agentRun("--home", site.home, "--site", site.name);
  expect(same).toMatchObject({ code: 1, stderr: expect.stringContaining("already serves") });
  const home = await mkdtemp(join(tmpdir(), "strat-other-"));
  const other = spawn(process.execPath, [agentFile, "--home", home, "--site", site.name], { stdio: ["ignore", "pipe", "ignore"] });
  await new Promise((resolve) => other.stdout.once("data", resolve));
  const refused = await siteCall(join(home, "agent.sock"), "PUT");
  expect(refused.error?.code).toBe("conflict");
  const otherEnded = new Promise((resolve) => other.once("exit", resolve));
  other.kill("SIGTERM");
  await otherEnded;
  await rm(home, { recursive: true });
  expect(await containerPage()).toBe("container");
});

test.each([30, 120, 250, 400])(
  "an agent killed %i ms into making a site leaves nothing that the next one cannot remove",
  async (delayMs) => {
    const half = await startTestSite({ up: false });
    const making = siteCall(half.fabricConfig.socket, "PUT").catch(() => null); // The connection breaks with the agent.
    await systemClock.sleep(delayMs);
    await half.agentKill();
    await making;
    await half.stop();
    const traces = await siteTraces({
      home: half.home,
      namespace: half.namespace,
      uplink: siteLayout("/srv/x", half.name).uplinkInterface,
      pidNamespace: "",
      poolInode: 0,
    });
    expect(traces).toEqual({ links: [], namespaces: [], mounts: [], processes: [], controlGroups: [], loops: [], files: [] });
  },
);

describe("walls", () => {
  test("guests and the outside reach none of the site's own ports, but guests may ping their gateway", async () => {
    const listener = await listenInside(9_999);
    const guest = await attachProbeHost(site.namespace, await site.segment({ prefix: "10.64.2.0/24", gateway: "10.64.2.1" }), "10.64.2.5");
    try {
      const inside = await exec("nsenter", [`--net=/run/netns/${site.namespace}`, "ip", "-4", "-o", "addr", "show", "dev", "up0"]);
      const siteAddress = /inet ([\d.]+)/.exec(inside.stdout)![1]!;
      expect(await guest.fetch("10.64.2.1", 9_999, 700)).toBeNull();
      expect(await guest.fetch(siteAddress, 9_999, 700)).toBeNull();
      expect(await hostItself("127.0.0.1").fetch(siteAddress, 9_999, 700)).toBeNull();
      const ping = await exec("nsenter", [...guest.enter, "busybox", "ping", "-c", "1", "-W", "2", "10.64.2.1"]);
      expect(ping.stdout).toContain("1 packets received");
    } finally {
      await guest.remove();
      listener.kill("SIGKILL");
    }
  });

  test("even with a route on the host nothing comes in by itself", async () => {
    const { stdout } = await exec("ip", ["-n", site.namespace, "-4", "-o", "addr", "show", "dev", "up0"]);
    await exec("ip", ["route", "add", "10.64.1.0/24", "via", /inet ([\d.]+)/.exec(stdout)![1]!]);
    try {
      expect(await hostItself("127.0.0.1").fetch(containerAddress, 80, 700)).toBeNull();
    } finally {
      await exec("ip", ["route", "del", "10.64.1.0/24"]);
    }
  });

  test("reach does not lead to the site's own addresses", async () => {
    const call = fabric.reach(context(), { segment: segment.name, address: segment.gateway, port: 80 });
    await expect(call).rejects.toMatchObject({ code: "invalid_input" });
  });

  test("a bridge somebody else made is left alone, and two segments do not overlap", async () => {
    await exec("ip", ["-n", site.namespace, "link", "add", "sforeign", "type", "bridge"]);
    const spec = { name: "sforeign", owner: testOwner(), prefix: "10.64.9.0/24", gateway: "10.64.9.1", isolated: true };
    await expect(fabric.segmentEnsure(context(), spec)).rejects.toMatchObject({ code: "not_ours" });
    await expect(fabric.segmentRemove(context(), spec)).rejects.toMatchObject({ code: "not_ours" });
    expect((await fabric.segmentList(context())).find((s) => s.name === "sforeign")?.owner).toBeNull();
    await exec("ip", ["-n", site.namespace, "link", "del", "sforeign"]);
    const overlapping = { ...spec, name: "sother", prefix: "10.64.1.128/25", gateway: "10.64.1.129" };
    await expect(fabric.segmentEnsure(context(), overlapping)).rejects.toMatchObject({ code: "conflict" });
  });
});

test("what is not valid is refused with the place of the mistake", async () => {
  const call = fabric.segmentEnsure(context(), { name: "sx", owner: testOwner(), prefix: "10.64.8.0", gateway: "x", isolated: true });
  await expect(call).rejects.toMatchObject({
    code: "invalid_input",
    detail: [{ source: "agent API: prefix" }, { source: "agent API: gateway" }],
  });
  const missing = await unixRequest({ ...site.fabricConfig, method: "GET", path: "/v1/nothing" });
  expect(missing).toMatchObject({ status: 404, body: { code: "not_found" } });
});

test("a killed LXD is started again by the next PUT, and its container comes back", async () => {
  const pid = Number(await readFile(join(site.home, "site/lxd.site-pid"), "utf8"));
  await exec("nsenter", site.inside("kill", "-9", String(pid)));
  await expect
    .poll(async () => (await unixRequest({ ...site.fabricConfig, method: "GET", path: "/v1/site" })).body)
    .toMatchObject({
      site: { state: "down", endpoints: null },
    });
  expect((await siteCall(site.fabricConfig.socket, "PUT")).site?.state).toBe("up");
  expect(await lxc(site, "list", "-c", "ns", "--format", "csv")).toBe("one,RUNNING\n");
});

test("after the holder's death, as after a reboot, PUT makes the site and its segments again", async () => {
  const holder = site.holderPid();
  process.kill(holder, "SIGKILL");
  // A kill is only the beginning of an end: the kernel ends every process of the site first.
  await expect.poll(() => processIdentify(holder)).toBeNull();
  expect((await siteCall(site.fabricConfig.socket, "PUT")).site?.state).toBe("up");
  expect((await fabric.segmentList(context())).map((s) => s.name)).toContain(segment.name);
  expect(await lxc(site, "image", "list", "-c", "l", "--format", "csv")).toBe("busybox\n");
});

test("a site taken down with its data kept comes up with it", async () => {
  expect((await siteCall(site.fabricConfig.socket, "DELETE", "?keep=data")).site?.state).toBe("down");
  const { files, loops: _loops, ...gone } = await siteTraces(identity);
  expect(files).toContain("site");
  expect(gone).toMatchObject({ links: [], namespaces: [], mounts: [], controlGroups: [] });
  expect((await siteCall(site.fabricConfig.socket, "PUT")).site?.state).toBe("up");
  expect(await lxc(site, "image", "list", "-c", "l", "--format", "csv")).toBe("busybox\n");
  expect((await fabric.segmentList(context())).map((s) => s.name)).toContain(segment.name);
});

test("DELETE leaves nothing, whatever was running", async () => {
  identity = await siteIdentify(site);
  if (!(await lxc(site, "list", "-c", "s", "--format", "csv")).includes("RUNNING")) await lxc(site, "start", "one");
  const up = await siteTraces(identity);
  for (const [kind, found] of Object.entries(up)) expect(found, kind).not.toEqual([]);
  await site.stop();
  expect(await siteTraces(identity)).toEqual({
    links: [],
    namespaces: [],
    mounts: [],
    processes: [],
    controlGroups: [],
    loops: [],
    files: [],
  });
  expect(await hostSettings()).toEqual(settingsBefore);
});

/** A server in the site's namespace, where libvirtd and LXD live. */
async function listenInside(port: number): Promise<ReturnType<typeof spawn>> {
  const program = `require("node:net").createServer((c) => c.end("daemon")).listen(${port}, "0.0.0.0", () => console.log("ready"))`;
  const child = spawn("nsenter", [`--net=/run/netns/${site.namespace}`, process.execPath, "-e", program], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  await new Promise((resolve) => child.stdout!.once("data", resolve));
  return child;
}

async function agentRun(...args: string[]): Promise<{ code: number; stderr: string }> {
  return await exec(process.execPath, [agentFile, ...args], { okCodes: [0, 1] });
}
