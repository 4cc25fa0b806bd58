/** A control group of its own in every hierarchy of this machine (v1, v2 or both), so that the fresh machine cannot leave any behind. */
import { existsSync, mkdirSync, readFileSync, readdirSync, rmdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";

/** Children first: a control group with children cannot be removed. */
function removeTree(folder: string): void {
  if (!existsSync(folder)) return;
  for (const entry of readdirSync(folder, { withFileTypes: true })) if (entry.isDirectory()) removeTree(join(folder, entry.name));
  rmdirSync(folder);
}

/** `list` has a line a hierarchy: folder of the group, where it belongs below /sys/fs/cgroup, type. */
export function cgroupSubtree(name: string): { readonly list: string; remove(): void } {
  const mounts = readFileSync("/proc/self/mountinfo", "utf8")
    .split("\n")
    .map((l) => l.split(" "))
    .filter((f) => f.length > 6)
    .map((f) => ({ at: f[4]!, type: f[f.indexOf("-") + 1]! }))
    .filter((m) => (m.type === "cgroup" || m.type === "cgroup2") && m.at.startsWith("/sys/fs/cgroup"));
  const made = mounts.map((m) => ({ ...m, folder: join(m.at, name) }));
  for (const { folder, at } of made) {
    mkdirSync(folder);
    // The cpuset controller of v1 takes no process before it has processors and memory.
    for (const file of ["cpuset.cpus", "cpuset.mems"]) {
      if (existsSync(join(at, file)) && existsSync(join(folder, file)) && at.includes("cpuset"))
        writeFileSync(join(folder, file), readFileSync(join(at, file)));
    }
  }
  const list = made.map((m) => `${m.folder} ${m.at.slice("/sys/fs/cgroup".length) || "/"} ${m.type}`).join("\n");
  return { list, remove: () => made.forEach((m) => removeTree(m.folder)) };
}
