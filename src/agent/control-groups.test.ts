import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { cgroupFoldersPlan, cgroupMountsParse, cgroupsDelegate, cgroupsRemove } from "#agent/control-groups.ts";
import { systemClock } from "#lib/clock.ts";

const hybrid = `30 23 0:26 / /sys/fs/cgroup rw,relatime - tmpfs tmpfs rw,mode=755
31 30 0:27 / /sys/fs/cgroup/cpu,cpuacct rw,relatime - cgroup cgroup rw,cpu,cpuacct
32 30 0:28 / /sys/fs/cgroup/systemd rw,relatime shared:9 - cgroup cgroup rw,name=systemd
33 30 0:29 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw,nsdelegate
34 30 0:30 / /mnt rw - ext4 /dev/vda rw`;
const unified = "40 23 0:31 / /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw,nsdelegate,memory_recursiveprot";

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "cgroup-"));
});
afterEach(() => rm(folder, { recursive: true }));

test("hybrid: one group in each hierarchy, below the agent's own, but below the root of version 2", () => {
  const mounts = cgroupMountsParse(hybrid);
  expect(mounts.map((m) => `${m.type} ${m.options} ${m.point}`)).toEqual([
    "cgroup rw,cpu,cpuacct /sys/fs/cgroup/cpu,cpuacct",
    "cgroup rw,name=systemd /sys/fs/cgroup/systemd",
    "cgroup2 rw /sys/fs/cgroup/unified",
  ]);
  expect(cgroupFoldersPlan("x", mounts, "4:cpu,cpuacct:/a:b\n3:name=systemd:/\n2:pids:/\n0::/user.slice\n")).toEqual([
    "/sys/fs/cgroup/cpu,cpuacct/a:b/x",
    "/sys/fs/cgroup/systemd/x",
    "/sys/fs/cgroup/unified/x",
  ]);
});

test("version 2 alone: one group below the root", () => {
  expect(cgroupFoldersPlan("x", cgroupMountsParse(unified), "0::/system.slice/agent.service\n")).toEqual(["/sys/fs/cgroup/x"]);
});

test("version 2 alone: processes move to a leaf, controllers are handed down", async () => {
  // Plain files in the place of the kernel's: what is written where is the whole point here.
  await writeFile(join(folder, "cgroup.procs"), "11\n12\n");
  await writeFile(join(folder, "cgroup.controllers"), "cpu memory\n");
  await cgroupsDelegate([folder], cgroupMountsParse(unified));
  expect(await readFile(join(folder, "init.scope", "cgroup.procs"), "utf8")).toBe("12");
  expect(await readFile(join(folder, "cgroup.subtree_control"), "utf8")).toBe("+memory");
});

test("with version 1 present nothing is handed down", async () => {
  await cgroupsDelegate([folder], cgroupMountsParse(hybrid));
  expect(await readdir(folder)).toEqual([]);
});

test("a tree of groups is removed as a whole, a missing one is fine", async () => {
  await mkdir(join(folder, "x", "lxc.payload.a", "deep"), { recursive: true });
  await cgroupsRemove([join(folder, "x"), join(folder, "never")], systemClock);
  expect(await readdir(folder)).toEqual([]);
});
