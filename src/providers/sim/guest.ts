/** The simulated guest: a handful of commands, enough for the channel contract and for the guest contract's `apply`. */
import { createHash } from "node:crypto";

/** What the guest holds in memory while it runs. Gone at stop, like the tmpfs it stands for, and at a restart of the simulator. */
export interface GuestMemory {
  context: string | null;
  /** Exit code of the image's hooks. */
  applyExitCode: number;
  /** Status of every HTTP answer. */
  httpStatus: number;
}

export interface GuestResult {
  readonly exitCode: number;
  readonly stdout: string;
  readonly stderr: string;
  /** Set when a context was applied. */
  readonly contextDigest?: string;
}

export const newGuestMemory = (): GuestMemory => ({ context: null, applyExitCode: 0, httpStatus: 200 });

const ok = (stdout = ""): GuestResult => ({ exitCode: 0, stdout, stderr: "" });
const failed = (exitCode: number, stderr: string): GuestResult => ({ exitCode, stdout: "", stderr });

/** Everything but /bin/sleep, which needs time and is done by the caller. */
export function guestRun(argv: readonly string[], stdin: string, memory: GuestMemory): GuestResult {
  const [program = "", ...args] = argv;
  switch (program) {
    case "/bin/echo":
      return ok(`${args.join(" ")}\n`);
    case "/bin/true":
      return ok();
    case "/bin/false":
      return failed(1, "");
    case "/bin/cat":
      return cat(args, stdin, memory);
    case "/usr/lib/stratiform/apply":
      return apply(stdin, memory);
    default:
      return failed(127, `${program}: not found\n`);
  }
}

function cat(paths: readonly string[], stdin: string, memory: GuestMemory): GuestResult {
  if (paths.length === 0) return ok(stdin);
  let out = "";
  for (const path of paths) {
    const text = path === "-" ? stdin : path === "/run/stratiform/context.json" ? memory.context : null;
    if (text === null) return { exitCode: 1, stdout: out, stderr: `cat: can't open '${path}': No such file or directory\n` };
    out += text;
  }
  return ok(out);
}

function apply(stdin: string, memory: GuestMemory): GuestResult {
  try {
    JSON.parse(stdin);
  } catch {
    return failed(1, "apply: standard input is not JSON\n");
  }
  if (memory.applyExitCode !== 0) return failed(memory.applyExitCode, "apply: hook 10-app failed\n");
  memory.context = stdin;
  return { ...ok(), contextDigest: createHash("sha256").update(stdin).digest("hex") };
}
