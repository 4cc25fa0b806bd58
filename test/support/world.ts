/**
 * What a host looks like from outside, for nothing-left tests: links, namespaces, packet filter, mounts, processes, accounts, cgroups and
 * files under given folders. Two snapshots are compared by `worldDifference`; an empty list means that nothing was left and nothing lost.
 *
 * It sees what the kernel shows, not what we remember to have made. Everything is read from /proc and /sys where possible, so it also
 * works on a bare machine. It needs root to look into other namespaces; without it those parts are left out.
 */
import { execFileSync } from "node:child_process";
import { existsSync, readFileSync, readdirSync, readlinkSync, type Dirent } from "node:fs";
import { dirname, join } from "node:path";

/** Part name -> sorted lines. Plain data, so a snapshot can be stored and compared by another process. */
export type World = Readonly<Record<string, readonly string[]>>;

export interface WorldOptions {
  /** Folders whose files (path, kind, size of regular files not included) are part of the world. */
  readonly folders?: readonly string[];
  /** Processes below this pid are ours: the test runner and what it started on purpose. Default: this process. */
  readonly ownPid?: number;
}

interface ProcessRow {
  readonly pid: number;
  readonly parent: number;
  readonly state: string;
  readonly command: string;
}

/** Programs that come and go by themselves on any machine would make every comparison fail: kernel threads are left out. */
function processRows(): ProcessRow[] {
  return readdirSync("/proc")
    .filter((name) => /^\d+$/.test(name))
    .flatMap((name) => {
      const stat = readText(`/proc/${name}/stat`);
      const command = readText(`/proc/${name}/cmdline`)
        ?.replaceAll(/[\0\s]+/g, " ")
        .trim();
      if (stat === null || command === undefined) return [];
      const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
      return [{ pid: Number(name), state: fields[0] ?? "?", parent: Number(fields[1]), command }];
    });
}

function readText(path: string): string | null {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return null; // Gone since it was listed, or not ours to read.
  }
}

function readLink(path: string): string | null {
  try {
    return readlinkSync(path);
  } catch {
    return null;
  }
}

/** Pids that belong to `own`: itself, its ancestors (the shell that runs it) and its descendants. */
function family(rows: readonly ProcessRow[], own: number): Set<number> {
  const byPid = new Map(rows.map((r) => [r.pid, r]));
  const members = new Set<number>();
  for (let at = byPid.get(own); at !== undefined; at = byPid.get(at.parent)) members.add(at.pid);
  let grew = true;
  const below = new Set([own]);
  while (grew) {
    grew = false;
    for (const row of rows) {
      if (below.has(row.parent) && !below.has(row.pid)) grew = below.add(row.pid).size > 0;
    }
  }
  for (const pid of below) members.add(pid);
  return members;
}

/** A zombie is a process nobody has reaped yet: it holds nothing and is not counted. */
function processLines(rows: readonly ProcessRow[], ours: ReadonlySet<number>): string[] {
  return rows.filter((r) => r.command !== "" && r.state !== "Z" && !ours.has(r.pid)).map((r) => `${r.pid} ${r.command.slice(0, 200)}`);
}

const namespaceKinds = ["net", "mnt", "uts", "pid", "ipc", "user", "cgroup"] as const;

interface NamespaceSeat {
  readonly kind: string;
  readonly id: string;
  /** A path that `nsenter` takes, through a process or a bind mount. */
  readonly path: string;
}

/** Every namespace some process is in, plus those kept alive by a bind mount. */
function namespaces(rows: readonly ProcessRow[], ours: ReadonlySet<number>): NamespaceSeat[] {
  const found = new Map<string, NamespaceSeat>();
  for (const row of rows) {
    if (row.state === "Z") continue;
    for (const kind of namespaceKinds) {
      const path = `/proc/${row.pid}/ns/${kind}`;
      const id = readLink(path);
      if (id !== null && !found.has(id) && (!ours.has(row.pid) || row.pid === process.pid)) found.set(id, { kind, id, path });
    }
  }
  for (const line of (readText("/proc/self/mountinfo") ?? "").split("\n")) {
    const at = line.split(" ")[4];
    const inode = /(net|mnt|uts|pid|ipc|user|cgroup):\[\d+\]/.exec(line);
    if (at !== undefined && inode !== null && !found.has(inode[0])) found.set(inode[0], { kind: inode[1]!, id: inode[0], path: at });
  }
  return [...found.values()];
}

/** Runs a program and returns its lines; missing program or no permission: no lines. */
function lines(file: string, args: readonly string[]): string[] {
  try {
    return execFileSync(file, args, { encoding: "utf8", stdio: ["ignore", "pipe", "ignore"], timeout: 10_000, maxBuffer: 64 * 1024 * 1024 })
      .split("\n")
      .filter((line) => line.trim() !== "");
  } catch {
    return [];
  }
}

/** Links and packet filter of one network namespace, without counters, states and times. */
function networkLines(seat: NamespaceSeat): { links: string[]; filter: string[]; addresses: string[] } {
  const enter = (program: readonly string[]) => lines("nsenter", [`--net=${seat.path}`, ...program]);
  const links = enter(["ip", "-o", "link"]).map((l) => /^\d+: ([^:]+):/.exec(l)?.[1] ?? l);
  const addresses = enter(["ip", "-o", "addr"]).map((l) =>
    l
      .replace(/^\d+: /, "")
      .replace(/\s+valid_lft.*$/, "")
      .replaceAll("\\", ""),
  );
  const routes = enter(["ip", "-o", "route"]);
  const filter = enter(["nft", "list", "ruleset"]).map((l) => l.replace(/packets \d+ bytes \d+/, ""));
  const own = (list: string[]) => list.map((l) => `${seat.id} ${l.trim()}`);
  return { links: own(links), filter: own(filter), addresses: own([...addresses, ...routes]) };
}

/** Mounts as this process sees them. A mount inside another namespace dies with it, and that is listed under `namespaces`. */
function mountLines(): string[] {
  return (readText("/proc/self/mountinfo") ?? "")
    .split("\n")
    .filter((l) => l !== "")
    .map((l) => {
      const [before, after] = l.split(" - ");
      const fields = (before ?? "").split(" ");
      return `${fields[4]} ${fields[3]} ${(after ?? "").split(" ")[0]}`;
    });
}

/** Control groups of every hierarchy; cgroup v1 and v2 look the same as folders. */
function cgroupLines(): string[] {
  return existsSync("/sys/fs/cgroup") ? walk("/sys/fs/cgroup", (entry) => entry.isDirectory()) : [];
}

/** Paths below a folder, not following links; `/` at the end marks folders. */
function walk(folder: string, keep: (entry: Dirent) => boolean = () => true): string[] {
  let entries: Dirent[];
  try {
    entries = readdirSync(folder, { withFileTypes: true });
  } catch {
    return [];
  }
  return entries.flatMap((entry) => {
    const path = join(folder, entry.name);
    const below = entry.isDirectory() ? walk(path, keep) : [];
    return keep(entry) ? [entry.isDirectory() ? `${path}/` : path, ...below] : below;
  });
}

/** Kernel settings a site may turn on for the host. */
const settings = ["net.ipv4.ip_forward", "net.ipv6.conf.all.forwarding", "net.bridge.bridge-nf-call-iptables", "kernel.hostname"] as const;

function settingLines(): string[] {
  return settings.flatMap((name) => {
    const value = readText(`/proc/sys/${name.replaceAll(".", "/")}`);
    return value === null ? [] : [`${name}=${value.trim()}`];
  });
}

/** Photographs the host. Takes about a tenth of a second. */
export function worldSnapshot(options: WorldOptions = {}): World {
  const rows = processRows();
  const ours = family(rows, options.ownPid ?? process.pid);
  const seats = namespaces(rows, ours);
  const networks = seats.filter((s) => s.kind === "net").map(networkLines);
  const account = (file: string) =>
    (readText(file) ?? "")
      .split("\n")
      .map((l) => l.split(":")[0]!)
      .filter((l) => l !== "");
  const world: Record<string, string[]> = {
    processes: processLines(rows, ours),
    namespaces: seats.map((s) => s.id),
    links: networks.flatMap((n) => n.links),
    addresses: networks.flatMap((n) => n.addresses),
    filter: networks.flatMap((n) => n.filter),
    mounts: mountLines(),
    users: account("/etc/passwd"),
    groups: account("/etc/group"),
    cgroups: cgroupLines(),
    settings: settingLines(),
    files: (options.folders ?? []).flatMap((folder) => walk(folder)),
  };
  return Object.fromEntries(Object.entries(world).map(([part, list]) => [part, list.toSorted()]));
}

/** `+` is left over, `-` is lost; sorted by part. Lines are compared as multisets. */
export function worldDifference(before: World, after: World): string[] {
  return Object.keys({ ...before, ...after })
    .toSorted()
    .flatMap((part) => {
      const count = new Map<string, number>();
      for (const line of after[part] ?? []) count.set(line, (count.get(line) ?? 0) + 1);
      for (const line of before[part] ?? []) count.set(line, (count.get(line) ?? 0) - 1);
      const changed = [...count].filter(([, n]) => n !== 0);
      // A folder says it all; what is below it would bury the rest.
      const folders = new Set(changed.map(([line]) => line).filter((line) => line.endsWith("/")));
      const below = (line: string) => folders.has(`${dirname(line.replace(/\/$/, ""))}/`);
      return changed.filter(([line]) => !below(line)).map(([line, n]) => `${n > 0 ? "+" : "-"} ${part}: ${line}`);
    });
}
