/**
 * One control group for each site and hierarchy: `stratiform-NAME`. With a control group namespace on top of it, whatever LXD
 * makes (payload, monitor, pivot groups) is below it, so removing the site is removing one subtree.
 */
import { access, mkdir, readdir, readFile, rmdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { Clock } from "#domain/context.ts";
import { AppError } from "#domain/error.ts";
import { processIdentify } from "#lib/process-identity.ts";

const killLimitMs = 10_000;
const removeLimitMs = 5_000;

export interface CgroupMount {
  readonly type: "cgroup" | "cgroup2";
  readonly options: string;
  readonly point: string;
}

/** Mounts below /sys/fs/cgroup, from the text of /proc/self/mountinfo. The line format is in proc(5). */
export function cgroupMountsParse(mountinfo: string): CgroupMount[] {
  const mounts: CgroupMount[] = [];
  for (const line of mountinfo.split("\n")) {
    const [before, after] = line.split(" - ");
    const point = before?.split(" ")[4];
    const [type, , options] = after?.split(" ") ?? [];
    if (point === undefined || !point.startsWith("/sys/fs/cgroup")) continue;
    if (type === "cgroup2") mounts.push({ type, options: "rw", point });
    if (type === "cgroup") mounts.push({ type, options: (options ?? "").replace(/^ro,/, "rw,"), point });
  }
  return mounts;
}

/**
 * Where the site's group goes in each hierarchy. Version 1: below the agent's own group, whose limits then hold for the site too.
 * Version 2: below the root, because a group with processes of its own cannot hand controllers down.
 */
export function cgroupFoldersPlan(name: string, mounts: readonly CgroupMount[], selfCgroup: string): string[] {
  const folders: string[] = [];
  for (const line of selfCgroup.trim().split("\n")) {
    const [, controllers = "", ...path] = line.split(":");
    const mount =
      controllers === ""
        ? mounts.find((m) => m.type === "cgroup2")
        : mounts.find((m) => m.type === "cgroup" && controllers.split(",").every((c) => m.options.split(",").includes(c)));
    if (mount === undefined) continue;
    folders.push(join(mount.point, controllers === "" ? "/" : path.join(":"), name));
  }
  return folders;
}

export async function cgroupsCreate(folders: readonly string[]): Promise<void> {
  for (const folder of folders) {
    await mkdir(folder, { recursive: true });
    // A new cpuset is empty and refuses processes until it is told which CPUs and memory nodes it has.
    for (const file of ["cpuset.cpus", "cpuset.mems"]) {
      const own = await readFile(join(folder, file), "utf8").catch(() => null);
      if (own !== null && own.trim() === "")
        await writeFile(join(folder, file), await readFile(join(folder, "..", file), "utf8")).catch(() => {});
    }
  }
}

/**
 * Pure version 2 only: moves the holder and its wrapper into `init.scope` (the leaf liblxc knows to step out of) and hands every
 * controller down, which needs a group without processes of its own.
 */
export async function cgroupsDelegate(folders: readonly string[], mounts: readonly CgroupMount[]): Promise<void> {
  if (mounts.some((m) => m.type === "cgroup")) return;
  for (const folder of folders) {
    const leaf = join(folder, "init.scope");
    await mkdir(leaf, { recursive: true });
    for (const pid of (await readFile(join(folder, "cgroup.procs"), "utf8")).split("\n").filter(Boolean)) {
      await writeFile(join(leaf, "cgroup.procs"), pid).catch(() => {}); // It ended in the meantime.
    }
    for (const controller of (await readFile(join(folder, "cgroup.controllers"), "utf8")).trim().split(" ").filter(Boolean)) {
      await writeFile(join(folder, "cgroup.subtree_control"), `+${controller}`).catch(() => {}); // Not every controller can be.
    }
  }
}

/**
 * Ends every process in the groups and waits for it. The holder joins them before anything else, so this finds also a site that a
 * killed agent left half-made and never wrote down.
 */
export async function cgroupsKill(folders: readonly string[], clock: Clock): Promise<void> {
  const until = clock.now() + killLimitMs;
  for (;;) {
    const pids = new Set((await Promise.all(folders.map(processList))).flat());
    if (pids.size === 0) return;
    if (clock.now() > until) throw new AppError("timeout", `the processes ${[...pids].join(", ")} of the site do not end`);
    for (const pid of pids) killIfThere(pid);
    await clock.sleep(10);
  }
}

/** Removes the groups with all below them. A group is busy for a moment after its last process was killed. */
export async function cgroupsRemove(folders: readonly string[], clock: Clock): Promise<void> {
  const until = clock.now() + removeLimitMs;
  for (const folder of folders) {
    while (!(await removeTree(folder))) {
      if (clock.now() > until) throw new AppError("conflict", `the control group ${folder} still has processes`);
      await clock.sleep(20);
    }
  }
}

/** Living processes of a group and all below it, as the host numbers them. */
async function processList(folder: string): Promise<number[]> {
  const own = (await readFile(join(folder, "cgroup.procs"), "utf8").catch(() => ""))
    .split("\n")
    .filter((line) => line !== "" && line !== "0");
  const alive = await Promise.all(own.map(async (pid) => ((await processIdentify(Number(pid))) === null ? [] : [Number(pid)])));
  const entries = await readdir(folder, { withFileTypes: true }).catch(() => []);
  const below = await Promise.all(entries.filter((entry) => entry.isDirectory()).map((entry) => processList(join(folder, entry.name))));
  return [...alive.flat(), ...below.flat()];
}

function killIfThere(pid: number): void {
  try {
    process.kill(pid, "SIGKILL");
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "ESRCH") throw error;
  }
}

async function removeTree(folder: string): Promise<boolean> {
  const entries = await readdir(folder, { withFileTypes: true }).catch(() => null);
  if (entries === null) return !(await exists(folder));
  for (const entry of entries) if (entry.isDirectory() && !(await removeTree(join(folder, entry.name)))) return false;
  return await rmdir(folder).then(
    () => true,
    async () => !(await exists(folder)),
  );
}

async function exists(path: string): Promise<boolean> {
  return await access(path).then(
    () => true,
    () => false,
  );
}
