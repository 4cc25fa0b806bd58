/** The namespaces of a site, the process that holds them, the uplink to the host, and starting programs inside. */
import { spawn } from "node:child_process";
import { access, chmod, mkdir, readFile, readdir, rm, rmdir, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { AppError } from "#domain/error.ts";
import { exec } from "#lib/exec.ts";
import { processIdentify, processIsAlive } from "#lib/process-identity.ts";
import type { ProcessIdentity } from "#lib/process-identity.ts";
import type { AgentContext } from "#agent/agent-context.ts";
import type { SiteState } from "#agent/agent-state.ts";
import { cgroupFoldersPlan, cgroupMountsParse, cgroupsCreate, cgroupsDelegate, cgroupsKill, cgroupsRemove } from "#agent/control-groups.ts";
import type { SiteLayout } from "#agent/site-layout.ts";
import { uplinkOf } from "#agent/site-layout.ts";
import { ownFile } from "#lib/own-file.ts";

const holderScript = ownFile("src/agent/site-holder.sh");
const holderLimitMs = 10_000;

/** User and group ids Debian reserves for libvirt; the lines exist only inside the site. */
const siteUsers = {
  passwd: "libvirt-qemu:x:64055:64055::/nonexistent:/usr/sbin/nologin",
  group: "libvirt-qemu:x:64055:\nlibvirt:x:64056:",
};
const siteIds = "root:1000000:1000000000";

/** Makes what is missing of: network namespace, uplink, holder. Returns the state with the living holder in it. */
export async function namespaceEnsure(agent: AgentContext): Promise<SiteState> {
  const { layout, state } = agent;
  const before = state.current().site;
  if (before?.holder && (await processIsAlive(before.holder))) return before;
  if (before === null && (await exists(`/run/netns/${layout.namespace}`))) {
    throw new AppError("conflict", `there is already a site named ${layout.siteName} on this host, kept by another agent`);
  }
  const mounts = cgroupMountsParse(await readFile("/proc/self/mountinfo", "utf8"));
  const cgroupFolders = cgroupFoldersPlan(layout.namespace, mounts, await readFile("/proc/self/cgroup", "utf8"));
  let site: SiteState = { daemons: "own", uplinkIndex: before?.uplinkIndex ?? null, holder: null, cgroupFolders, accelerator: null };
  const save = async () => await state.write({ ...state.current(), site });
  // Each thing is on record before it exists: a crash on the way leaves nothing the next run does not know about.
  await save();
  await networkNamespaceEnsure(layout.namespace);
  site = { ...site, uplinkIndex: await uplinkEnsure(layout, site.uplinkIndex) };
  await save();
  // Whatever a dead holder or a killed agent left: without its holder a site has no daemons either.
  await cgroupsKill(cgroupFolders, agent.clock);
  await folderFill(layout);
  await cgroupsCreate(cgroupFolders);
  await writeFile(join(layout.folder, "cgroup-folders"), cgroupFolders.map((f) => `${f}\n`).join(""));
  await writeFile(join(layout.folder, "cgroup-mounts"), mounts.map((m) => `${m.type} ${m.options} ${m.point}\n`).join(""));
  const holder = await holderStart(agent);
  await cgroupsDelegate(cgroupFolders, mounts);
  site = { ...site, holder };
  await save();
  return site;
}

/** Ends every process of the site and removes links, namespace and control groups. What is missing is passed over. */
export async function namespaceRemove(agent: AgentContext): Promise<void> {
  const { layout, clock } = agent;
  const site = agent.state.current().site;
  await cgroupsKill(site?.cgroupFolders ?? [], clock);
  if (await exists(`/sys/class/net/${layout.uplinkInterface}`)) await exec("ip", ["link", "del", layout.uplinkInterface]);
  if (await exists(`/run/netns/${layout.namespace}`)) await exec("ip", ["netns", "del", layout.namespace]);
  await namedNamespacesTidy();
  await cgroupsRemove(site?.cgroupFolders ?? [], clock);
}

/** `ip netns add` makes and mounts this folder when it is missing, and leaves both. Who needs it makes it again. */
async function namedNamespacesTidy(): Promise<void> {
  const folder = "/run/netns";
  if ((await readdir(folder).catch(() => ["missing"])).length > 0) return;
  // One that is in use after all is busy, or not empty: then it stays.
  await exec("umount", [folder], { okCodes: [0, 1, 32] });
  await rmdir(folder).catch(() => {});
}

export async function holderIsAlive(agent: AgentContext): Promise<boolean> {
  const holder = agent.state.current().site?.holder;
  return holder ? await processIsAlive(holder) : false;
}

/** Shows the host's /dev/kvm inside the site, where it is hidden until it is known to work. Harmless when repeated. */
export async function acceleratorUncover(holder: ProcessIdentity): Promise<void> {
  await exec("nsenter", insideArguments(holder, ["umount", "/dev/kvm"]), { okCodes: [0, 1, 32] });
}

/** Arguments that run a program inside the site: `exec("nsenter", insideArguments(holder, [...]))`. */
export function insideArguments(holder: ProcessIdentity, command: readonly string[]): string[] {
  return ["-t", String(holder.pid), "-n", "-m", "-u", "-p", "-C", "--", ...command];
}

async function networkNamespaceEnsure(name: string): Promise<void> {
  if (await exists(`/run/netns/${name}`)) {
    // After a reboot the name can be there as an empty file that is no namespace any more.
    const probe = await exec("ip", ["-n", name, "link", "set", "lo", "up"], { okCodes: [0, 1, 255] });
    if (probe.code === 0) return;
    await exec("ip", ["netns", "del", name]);
  }
  await exec("ip", ["netns", "add", name]);
  await exec("ip", ["-n", name, "link", "set", "lo", "up"]);
}

/** One veth and one /30. The first free /30 from the place the site's name hashes to, so sites side by side do not collide. */
async function uplinkEnsure(layout: SiteLayout, known: number | null): Promise<number> {
  if (known !== null && (await exists(`/sys/class/net/${layout.uplinkInterface}`))) return known;
  const taken = (await exec("ip", ["-4", "-o", "addr", "show"])).stdout;
  let index = known ?? layout.uplinkIndex;
  while (taken.includes(` ${uplinkOf(index).hostAddress}/`)) index++;
  const uplink = uplinkOf(index);
  const host = layout.uplinkInterface;
  if (await exists(`/sys/class/net/${host}`)) await exec("ip", ["link", "del", host]);
  const script = [
    `link add ${host} type veth peer name up0 netns ${layout.namespace}`,
    `addr add ${uplink.hostAddress}/30 dev ${host}`,
    `link set ${host} up`,
  ];
  await exec("ip", ["-batch", "-"], { stdin: `${script.join("\n")}\n` });
  const inside = [`addr add ${uplink.siteAddress}/30 dev up0`, "link set up0 up", `route add default via ${uplink.hostAddress}`];
  await exec("ip", ["-n", layout.namespace, "-batch", "-"], { stdin: `${inside.join("\n")}\n` });
  return index;
}

async function folderFill(layout: SiteLayout): Promise<void> {
  const parts = ["libvirt/etc", "libvirt/lib", "libvirt/log", "libvirt/cache", "libvirt/sock", "pool", "lxd", "etc", "run"];
  for (const part of parts) await mkdir(join(layout.folder, part), { recursive: true });
  // Containers run as unprivileged ids and must be able to walk down to their root file system.
  for (const folder of [layout.home, layout.folder, layout.lxdFolder]) await chmod(folder, 0o711);
  await writeFile(join(layout.folder, "empty"), "");
  for (const file of ["passwd", "group"] as const) {
    const host = await readFile(`/etc/${file}`, "utf8");
    const missing = siteUsers[file].split("\n").filter((line) => !host.includes(`\n${line.split(":")[0]}:`));
    await writeFile(join(layout.folder, "etc", file), `${host.trimEnd()}\n${missing.map((line) => `${line}\n`).join("")}`);
  }
  await writeFile(join(layout.folder, "etc", "hosts"), `127.0.0.1 localhost ${layout.siteName}\n`);
  for (const file of ["subuid", "subgid"]) await writeFile(join(layout.folder, "etc", file), `${siteIds}\n`);
}

async function holderStart(agent: AgentContext): Promise<ProcessIdentity> {
  const { layout, clock } = agent;
  const pidFile = join(layout.folder, "holder.pid");
  await rm(pidFile, { force: true });
  const log = join(layout.folder, "holder.log");
  const script = `exec sh "$0" "$@" </dev/null >"${log}" 2>&1`;
  const child = spawn("sh", ["-c", script, holderScript, layout.folder, layout.namespace, layout.siteName], {
    detached: true,
    stdio: "ignore",
    cwd: "/",
  });
  let ended = false;
  child.once("exit", () => (ended = true));
  child.unref();
  const until = clock.now() + holderLimitMs;
  for (;;) {
    const holder = await holderFind(layout);
    if (holder !== null) return holder;
    if (ended || clock.now() > until) {
      const internal = await readFile(log, "utf8").catch(() => "");
      throw new AppError("internal", "the namespaces of the site cannot be made", { internal });
    }
    await clock.sleep(10);
  }
}

/** The pid file counts only when that process is in our network namespace: an old file may name a stranger's process. */
async function holderFind(layout: SiteLayout): Promise<ProcessIdentity | null> {
  const pid = (await readFile(join(layout.folder, "holder.pid"), "utf8").catch(() => "")).trim();
  const theirs = pid === "" ? null : await stat(`/proc/${pid}/ns/net`).catch(() => null);
  const ours = await stat(`/run/netns/${layout.namespace}`).catch(() => null);
  return theirs === null || theirs.ino !== ours?.ino ? null : await processIdentify(Number(pid));
}

async function exists(path: string): Promise<boolean> {
  return await access(path).then(
    () => true,
    () => false,
  );
}
