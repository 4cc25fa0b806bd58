/**
 * Who a process is, across restarts of the one who started it. A pid alone is recycled; pid plus start time is unique until reboot.
 * Zombies count as dead: an orphan may stay one for long when PID 1 reaps late, and `kill(pid, 0)` would say that it lives.
 */
import { readFile } from "node:fs/promises";

export interface ProcessIdentity {
  readonly pid: number;
  /** Field 22 of /proc/PID/stat: clock ticks after boot, as text because it is only compared. */
  readonly startTicks: string;
}

/** Null when there is no such process or it is dead already. `procFolder` is another /proc when the pid belongs to a PID namespace. */
export async function processIdentify(pid: number, procFolder = "/proc"): Promise<ProcessIdentity | null> {
  const stat = await readFile(`${procFolder}/${pid}/stat`, "utf8").catch(() => null);
  return stat === null ? null : processStatParse(pid, stat);
}

export async function processIsAlive(identity: ProcessIdentity, procFolder = "/proc"): Promise<boolean> {
  const now = await processIdentify(identity.pid, procFolder);
  return now !== null && now.startTicks === identity.startTicks;
}

/** The command name may hold blanks and brackets, so fields are counted from the last closing bracket. */
export function processStatParse(pid: number, stat: string): ProcessIdentity | null {
  const fields = stat
    .slice(stat.lastIndexOf(")") + 2)
    .trim()
    .split(" ");
  const state = fields[0];
  const startTicks = fields[19];
  if (startTicks === undefined || state === "Z" || state === "X") return null;
  return { pid, startTicks };
}
