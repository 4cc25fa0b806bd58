/**
 * A real site for a test file: an agent as its own process, with a libvirtd and an LXD of its own in their own namespaces. Root and
 * the packages of `src/agent/prerequisites.ts` are needed. Up in about 1 s, gone in 0.2 s; several may run side by side.
 *
 *     let site: TestSite;
 *     beforeAll(async () => { site = await startTestSite(); });
 *     afterAll(() => site.stop());            // stops guests, daemons and agent, removes everything, also what a failed test left
 *
 *     site.libvirtConfig   // { socket, pool: { name: "stratiform", path } }: for the libvirt provider. The folder exists; the pool
 *                          // is defined by the provider
 *     site.lxdConfig       // { socket, pool: "stratiform" }: the pool exists (btrfs)
 *     site.fabricConfig    // { socket }: for linuxFabricFactory.open
 *     await site.segment({ prefix: "10.64.1.0/24", gateway: "10.64.1.1" })   // a bridge to attach NICs to; returns SegmentFacts
 *     await site.agentKill(); await site.agentStart()                        // guests and daemons keep running meanwhile
 *     exec("nsenter", site.inside("virsh", ...))                             // a program inside the site's namespaces
 *
 * A test process that is killed leaves its site running; the next `startTestSite` on the machine takes it down.
 * A machine with a NIC on a segment is reached with the fabric's `reach`, never with a route: the host has none.
 */
import { spawn } from "node:child_process";
import type { ChildProcess } from "node:child_process";
import { randomBytes } from "node:crypto";
import { existsSync, readFileSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import type { OwnerMark } from "#domain/owner.ts";
import type { SegmentFacts, SegmentSpec } from "#fabric/contract.ts";
import { siteLayout } from "#agent/site-layout.ts";
import { siteFolderPrefix, siteOwnerWrite, sitesSweep } from "./site-sweep.ts";
import { unixRequest, unixStream } from "#lib/unix-http.ts";

const agentFile = fileURLToPath(new URL("../../src/agent/main.ts", import.meta.url));

export interface TestSite {
  readonly name: string;
  readonly home: string;
  /** The network namespace, as `ip -n` takes it. */
  readonly namespace: string;
  /** Address of the host as guests of segments that are not isolated reach it. */
  readonly hostAddress: string;
  readonly fabricConfig: { readonly socket: string };
  readonly libvirtConfig: { readonly socket: string; readonly pool: { readonly name: string; readonly path: string } };
  readonly lxdConfig: { readonly socket: string; readonly pool: string };
  agentPid(): number;
  /** The process that keeps the site's namespaces; another one after the site was made again. */
  holderPid(): number;
  /** kill -9, and waits for the end. */
  agentKill(): Promise<void>;
  /** A new agent on the same home; it adopts the site. */
  agentStart(): Promise<void>;
  /** Arguments for nsenter that run a program inside the site. */
  inside(...command: string[]): string[];
  /** Makes a segment with a random name and owner unless given. */
  segment(spec: Partial<SegmentSpec> & Pick<SegmentSpec, "prefix" | "gateway">): Promise<SegmentFacts>;
  stop(): Promise<void>;
}

interface SiteAnswer {
  readonly site?: {
    state: "up" | "down";
    namespace: string;
    hostAddress: string;
    endpoints: { libvirt: TestSite["libvirtConfig"]; lxd: TestSite["lxdConfig"] } | null;
  };
  readonly error?: { code: string; message: string };
}

/** `up: false` starts the agent alone; the site's addresses are then not known. */
export async function startTestSite(options: { readonly up: boolean } = { up: true }): Promise<TestSite> {
  const name = `t${randomBytes(5).toString("hex")}`;
  await sitesSweep(siteTakeDown);
  const home = await mkdtemp(join(tmpdir(), siteFolderPrefix));
  await siteOwnerWrite(home, name);
  const socket = join(home, "agent.sock");
  let agent = await agentSpawn(home, name);
  const stop = async () => {
    if (!existsSync(home)) return;
    if (agent.exitCode !== null || agent.signalCode !== null) agent = await agentSpawn(home, name);
    const last = await siteCall(socket, "DELETE");
    await childKill(agent, "SIGTERM");
    if (last.error !== undefined) throw new Error(`the test site does not go away: ${JSON.stringify(last.error)}; look into ${home}`);
    await rm(home, { recursive: true, force: true });
  };
  const up = options.up
    ? await siteCall(socket, "PUT")
    : await unixRequest({ socket, method: "GET", path: "/v1/site" }).then((a) => a.body as SiteAnswer);
  if (up.site === undefined) {
    await stop();
    throw new Error(`the test site does not come up: ${JSON.stringify(up.error)}`);
  }
  const { namespace, hostAddress, endpoints } = up.site;
  const layout = siteLayout(home, name);
  const holderPid = () =>
    (JSON.parse(readFileSync(join(home, "state.json"), "utf8")) as { site: { holder: { pid: number } } }).site.holder.pid;
  return {
    name,
    home,
    namespace,
    hostAddress,
    fabricConfig: { socket },
    libvirtConfig: endpoints?.libvirt ?? { socket: layout.libvirtSocket, pool: { name: "stratiform", path: layout.poolFolder } },
    lxdConfig: endpoints?.lxd ?? { socket: layout.lxdSocket, pool: "stratiform" },
    agentPid: () => agent.pid!,
    holderPid,
    agentKill: () => childKill(agent, "SIGKILL"),
    agentStart: async () => {
      agent = await agentSpawn(home, name);
    },
    inside: (...command) => ["-t", String(holderPid()), "-n", "-m", "-u", "-p", "-C", "--", ...command],
    segment: (spec) => segmentMake(socket, spec),
    stop,
  };
}

/** A random mark, as a control plane would make it. */
export function testOwner(): OwnerMark {
  return { installation: crypto.randomUUID(), vapp: crypto.randomUUID(), object: crypto.randomUUID() };
}

async function segmentMake(socket: string, spec: Partial<SegmentSpec> & Pick<SegmentSpec, "prefix" | "gateway">): Promise<SegmentFacts> {
  const full: SegmentSpec = { name: `s${randomBytes(6).toString("hex")}`, owner: testOwner(), isolated: false, ...spec };
  const answer = await unixRequest({ socket, method: "PUT", path: `/v1/segments/${full.name}`, body: full });
  if (answer.status !== 200) throw new Error(`no segment: ${JSON.stringify(answer.body)}`);
  return answer.body as SegmentFacts;
}

/** Starts the agent and waits for the line that says it serves. */
async function agentSpawn(home: string, name: string): Promise<ChildProcess> {
  const args = [agentFile, "--home", home, "--site", name, "--accelerator", "tcg"];
  const child = spawn(process.execPath, args, { stdio: ["ignore", "pipe", "pipe"], detached: true });
  let errors = "";
  child.stderr.on("data", (chunk: Buffer) => (errors += chunk.toString()));
  await new Promise<void>((resolve, reject) => {
    child.once("error", reject);
    child.once("exit", () => reject(new Error(`the agent ended: ${errors}`)));
    child.stdout.once("data", () => resolve());
  });
  return child;
}

/** Of a dead test's site: its agent may still serve or be gone. */
async function siteTakeDown(home: string, name: string): Promise<void> {
  const socket = join(home, "agent.sock");
  const health = await unixRequest({ socket, method: "GET", path: "/v1/health" }).catch(() => null);
  const pid = health === null ? (await agentSpawn(home, name)).pid! : (health.body as { pid: number }).pid;
  await siteCall(socket, "DELETE");
  process.kill(pid, "SIGTERM");
}

async function childKill(child: ChildProcess, signal: NodeJS.Signals): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const ended = new Promise((resolve) => child.once("exit", resolve));
  child.kill(signal);
  await ended;
}

/** Sends PUT or DELETE and returns the last line of the answer. */
export async function siteCall(socket: string, method: "PUT" | "DELETE", query = "", body?: unknown): Promise<SiteAnswer> {
  return await unixStream({ socket, method, path: `/v1/site${query}`, body, timeoutMs: 120_000 }, async (response) => {
    let text = "";
    for await (const chunk of response) text += (chunk as Buffer).toString();
    return JSON.parse(text.trim().split("\n").at(-1)!) as SiteAnswer;
  });
}
