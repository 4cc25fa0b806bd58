/** The simulated guest: a handful of commands, enough for the channel contract and for the guest contract of images/README.md. */
import { createHash } from "node:crypto";

/** What the guest holds in memory while it runs. Gone at stop, like the tmpfs it stands for, and at a restart of the simulator. */
export interface GuestMemory {
  /** The boot it belongs to. */
  boot: number;
  context: string | null;
  /** Newest last. */
  log: string[];
  /** Of a balancer: what it counted, by pool and member. */
  loads: Map<string, MemberLoad>;
  /** Exit code of the image's hooks. */
  applyExitCode: number;
  /** Status of every HTTP answer. */
  httpStatus: number;
}

export interface MemberLoad {
  inFlight: number;
  total: number;
  /** Whether its health check ever passed. */
  wasUp: boolean;
}

/** The guest's disks. */
export interface GuestDisk {
  read(path: string): string | null;
  /** False when there is no room, or no such volume. */
  write(path: string, text: string): boolean;
}

export interface GuestResult {
  readonly exitCode: number;
  readonly stdout: string;
  readonly stderr: string;
  /** Set when a context was applied. */
  readonly contextDigest?: string;
}

const logLimitLines = 200;

/** What a boot starts with. */
export const freshBoot = (): Pick<GuestMemory, "context" | "log" | "loads"> => ({ context: null, log: [], loads: new Map() });

export const newGuestMemory = (boot: number): GuestMemory => ({ boot, ...freshBoot(), applyExitCode: 0, httpStatus: 200 });

export const ok = (stdout = ""): GuestResult => ({ exitCode: 0, stdout, stderr: "" });
export const failed = (exitCode: number, stderr: string): GuestResult => ({ exitCode, stdout: "", stderr });

/** Everything that needs no time: /bin/sleep has been waited for by the caller. */
export function guestRun(argv: readonly string[], stdin: string, memory: GuestMemory, disk: GuestDisk): GuestResult {
  const [program = "", ...args] = argv;
  switch (program) {
    case "/bin/echo":
      return ok(`${args.join(" ")}\n`);
    case "/bin/true":
    case "/bin/sleep":
      return ok();
    case "/bin/false":
      return failed(1, "");
    case "/bin/cat":
      return cat(args, stdin, memory, disk);
    case "/usr/bin/tee":
      return tee(args, stdin, disk);
    case "/usr/lib/stratiform/apply":
      return apply(stdin, memory);
    case "/usr/lib/stratiform/logs":
      return ok(memory.log.slice(-Number(args[0] ?? logLimitLines)).join(""));
    default:
      return failed(127, `${program}: not found\n`);
  }
}

function cat(paths: readonly string[], stdin: string, memory: GuestMemory, disk: GuestDisk): GuestResult {
  if (paths.length === 0) return ok(stdin);
  let out = "";
  for (const path of paths) {
    const text = path === "-" ? stdin : path === "/run/stratiform/context.json" ? memory.context : disk.read(path);
    if (text === null) return { exitCode: 1, stdout: out, stderr: `cat: can't open '${path}': No such file or directory\n` };
    out += text;
  }
  return ok(out);
}

function tee([path = ""]: readonly string[], stdin: string, disk: GuestDisk): GuestResult {
  return disk.write(path, stdin) ? ok(stdin) : { exitCode: 1, stdout: stdin, stderr: `tee: ${path}: no such volume, or no room there\n` };
}

function apply(stdin: string, memory: GuestMemory): GuestResult {
  try {
    JSON.parse(stdin);
  } catch {
    return failed(1, "apply: standard input is not JSON\n");
  }
  const digest = createHash("sha256").update(stdin).digest("hex");
  const says = memory.applyExitCode === 0 ? `applied context ${digest.slice(0, 8)}\n` : "hook 10-app failed\n";
  memory.log = [...memory.log, `apply: ${says}`].slice(-logLimitLines);
  if (memory.applyExitCode !== 0) return failed(memory.applyExitCode, `apply: ${says}`);
  memory.context = stdin;
  return { ...ok(), contextDigest: digest };
}
