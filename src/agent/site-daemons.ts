/** The site's own libvirtd and LXD: configuration, start, readiness, storage pool. Both run inside the site's namespaces. */
import { access, readFile, rm, writeFile } from "node:fs/promises";
import { connect } from "node:net";
import { join } from "node:path";
import { AppError } from "#domain/error.ts";
import { exec } from "#lib/exec.ts";
import { processIdentify } from "#lib/process-identity.ts";
import type { ProcessIdentity } from "#lib/process-identity.ts";
import { unixRequest } from "#lib/unix-http.ts";
import type { AgentContext } from "#agent/agent-context.ts";
import type { SiteLayout } from "#agent/site-layout.ts";
import { insideArguments } from "#agent/site-namespace.ts";
import { ownFile } from "#lib/own-file.ts";

const daemonScript = ownFile("src/agent/site-daemon.sh");
const readyLimitMs = 60_000;
export const storagePoolName = "stratiform";
/** Upper limit of LXD's pool; the file behind it is sparse. */
const storagePoolSize = "100GiB";

const qemuConfig = `user = "root"
group = "root"
dynamic_ownership = 0
remember_owner = 0
security_driver = "none"
namespaces = []
cgroup_controllers = []
stdio_handler = "file"
vnc_listen = "127.0.0.1"
`;

function libvirtdConfig(layout: SiteLayout): string {
  return `auth_unix_rw = "none"
auth_unix_ro = "none"
unix_sock_dir = "${join(layout.libvirtFolder, "sock")}"
listen_tls = 0
host_uuid = "${layout.hostUuid}"
log_level = 3
log_outputs = "3:file:${join(layout.libvirtFolder, "log", "libvirtd.log")}"
`;
}

/** Starts libvirtd when it does not run, and waits until its socket takes connections. */
export async function libvirtdEnsure(agent: AgentContext, holder: ProcessIdentity): Promise<void> {
  const { layout } = agent;
  const pidFile = join(layout.libvirtFolder, "libvirtd.site-pid");
  if (await daemonRuns(holder, pidFile, "libvirtd")) return;
  await writeFile(join(layout.libvirtFolder, "etc", "qemu.conf"), qemuConfig);
  const config = join(layout.libvirtFolder, "etc", "libvirtd.conf");
  await writeFile(config, libvirtdConfig(layout));
  await rm(layout.libvirtSocket, { force: true });
  const log = join(layout.libvirtFolder, "log", "libvirtd.out");
  await daemonStart(holder, pidFile, log, ["libvirtd", "-f", config]);
  await waitUntil(agent, "libvirtd", log, async () => await socketAnswers(layout.libvirtSocket));
}

/**
 * The site's folder as its own namespace sees it. Containers run as unprivileged ids that must be able to walk down to their root file
 * system, which they cannot where the home lies below a folder such as /root.
 */
const lxdFolderInside = "/run/site/lxd";

/** Starts LXD when it does not run, waits until it is ready, and makes the storage pool. Returns the pool's driver. */
export async function lxdEnsure(agent: AgentContext, holder: ProcessIdentity): Promise<string> {
  const { layout } = agent;
  const pidFile = join(layout.folder, "lxd.site-pid");
  if (!(await daemonRuns(holder, pidFile, "lxd"))) {
    const log = join(layout.folder, "lxd.out");
    const logFile = join(layout.folder, "lxd.log");
    // A busy box may still hold the old socket file of a killed LXD; LXD replaces it itself.
    await daemonStart(holder, pidFile, log, ["env", `LXD_DIR=${lxdFolderInside}`, "lxd", "--logfile", logFile]);
    await waitUntil(agent, "lxd", log, async () => {
      const answer = await unixRequest({ socket: layout.lxdSocket, method: "GET", path: "/internal/ready" }).catch(() => null);
      return answer?.status === 200;
    });
  }
  return await storagePoolEnsure(agent);
}

/** Ends both daemons in an orderly way, so that their data can be used again. Guests are ended by the holder's death. */
export async function daemonsStop(agent: AgentContext, holder: ProcessIdentity): Promise<void> {
  const { layout, clock } = agent;
  await exec("nsenter", insideArguments(holder, ["env", `LXD_DIR=${lxdFolderInside}`, "lxd", "shutdown", "--timeout", "20"]), {
    timeoutMs: 30_000,
  }).catch((error: unknown) => agent.log.warn({ error }, "lxd did not shut down and will be killed"));
  const pid = await readPid(join(layout.libvirtFolder, "libvirtd.site-pid"));
  if (pid === null) return;
  // The shell's own: a bare Debian has no program of that name.
  await exec("nsenter", insideArguments(holder, ["sh", "-c", `kill ${pid}`]), { okCodes: [0, 1] });
  const until = clock.now() + 5_000;
  while (clock.now() < until && (await processIdentify(pid, procFolder(holder))) !== null) await clock.sleep(20);
}

/**
 * btrfs clones an instance from an image in half a second where copying files takes 4-10 s (400 MB, measured); for tiny images
 * there is no difference. The loop device goes when the site's mount namespace goes. Without loop or btrfs in the kernel: `dir`.
 */
async function storagePoolEnsure(agent: AgentContext): Promise<string> {
  const socket = agent.layout.lxdSocket;
  const known = await unixRequest({ socket, method: "GET", path: `/1.0/storage-pools/${storagePoolName}` });
  if (known.status === 200) return (known.body as { metadata: { driver: string } }).metadata.driver;
  const create = async (driver: string, config: object) =>
    await unixRequest({
      socket,
      method: "POST",
      path: "/1.0/storage-pools",
      body: { name: storagePoolName, driver, config },
      timeoutMs: 60_000,
    });
  const btrfs = await create("btrfs", { size: storagePoolSize });
  if (btrfs.status < 300) return "btrfs";
  agent.log.warn({ answer: btrfs.body }, "lxd cannot make a btrfs pool here, plain folders are used instead");
  const dir = await create("dir", {});
  if (dir.status < 300) return "dir";
  throw new AppError("endpoint_refused", "lxd refuses to make a storage pool", { internal: JSON.stringify(dir.body) });
}

/** A pool of somebody's LXD: the one with our name, else its first. Making one there is its owner's decision. */
export async function storagePoolFind(socket: string): Promise<string> {
  const answer = await unixRequest({ socket, method: "GET", path: "/1.0/storage-pools" });
  const names = ((answer.body as { metadata?: string[] }).metadata ?? []).map((url) => url.split("/").at(-1) ?? "");
  const name = names.includes(storagePoolName) ? storagePoolName : names[0];
  if (name !== undefined) return name;
  throw new AppError("capability_missing", "The host's LXD has no storage pool", {
    detail: [{ constraint: "a storage pool", source: socket, nearest: `lxc storage create ${storagePoolName} dir` }],
  });
}

/** The site's processes as its own PID namespace numbers them, read from outside. */
function procFolder(holder: ProcessIdentity): string {
  return `/proc/${holder.pid}/root/proc`;
}

async function readPid(file: string): Promise<number | null> {
  const text = (await readFile(file, "utf8").catch(() => "")).trim();
  return text === "" ? null : Number(text);
}

/** The pid is the site's own, where few processes come and go; with the name it says enough. */
async function daemonRuns(holder: ProcessIdentity, pidFile: string, name: string): Promise<boolean> {
  const pid = await readPid(pidFile);
  if (pid === null || (await processIdentify(pid, procFolder(holder))) === null) return false;
  return (await readFile(`${procFolder(holder)}/${pid}/comm`, "utf8").catch(() => "")).trim() === name;
}

async function daemonStart(holder: ProcessIdentity, pidFile: string, log: string, command: readonly string[]): Promise<void> {
  await exec("nsenter", insideArguments(holder, ["sh", daemonScript, pidFile, log, ...command]), { cwd: "/" });
}

async function waitUntil(agent: AgentContext, what: string, log: string, ready: () => Promise<boolean>): Promise<void> {
  const until = agent.clock.now() + readyLimitMs;
  while (!(await ready())) {
    if (agent.clock.now() > until) {
      throw new AppError("timeout", `${what} of the site does not become ready`, { internal: await readFile(log, "utf8").catch(() => "") });
    }
    await agent.clock.sleep(30);
  }
}

export async function socketAnswers(path: string): Promise<boolean> {
  if (
    !(await access(path).then(
      () => true,
      () => false,
    ))
  ) {
    return false;
  }
  return await new Promise((resolve) => {
    const socket = connect(path);
    socket.once("connect", () => {
      socket.destroy();
      resolve(true);
    });
    socket.once("error", () => resolve(false));
  });
}
