/** Finding the server of a data folder by what the kernel says, not by what a file left behind says. */
import { readdir, readFile, stat } from "node:fs/promises";
import { join } from "node:path";
import { systemClock } from "#lib/clock.ts";

export interface Postmaster {
  readonly pid: number;
  readonly port: number;
  readonly isReady: boolean;
}

/** Line numbers of postmaster.pid (server/utils/pidfile.h). */
const pidLine = 0;
const portLine = 3;
const statusLine = 7;
const pollMs = 10;

/** The running server of this data folder; undefined when there is none, whatever postmaster.pid claims. */
export async function findPostmaster(dataPath: string): Promise<Postmaster | undefined> {
  const lines = await readFile(join(dataPath, "postmaster.pid"), "utf8").then(
    (text) => text.split("\n"),
    () => [],
  );
  const pid = Number(lines[pidLine]);
  if (!Number.isInteger(pid) || pid <= 1 || !(await worksIn(pid, dataPath))) return undefined;
  return { pid, port: Number(lines[portLine]), isReady: lines[statusLine]?.trim() === "ready" };
}

/** The server and its backends all have the data folder as working directory; no other program of ours does. */
async function worksIn(pid: number, dataPath: string): Promise<boolean> {
  try {
    const [cwd, data] = await Promise.all([stat(`/proc/${pid}/cwd`), stat(dataPath)]);
    return cwd.dev === data.dev && cwd.ino === data.ino;
  } catch {
    return false; // Gone, a zombie, or not ours to look at.
  }
}

async function processesIn(dataPath: string): Promise<number[]> {
  const pids = (await readdir("/proc")).filter((name) => /^\d+$/.test(name)).map(Number);
  const found = await Promise.all(pids.map(async (pid) => ((await worksIn(pid, dataPath)) ? pid : 0)));
  return found.filter((pid) => pid !== 0);
}

/** Backends of a killed server leave within moments; a new server beside them would destroy the data. False when they do not. */
export async function waitUntilUnused(dataPath: string, limitMs: number): Promise<boolean> {
  return await poll(limitMs, async () => (await processesIn(dataPath)).length === 0);
}

export async function waitUntilGone(pid: number, dataPath: string, limitMs: number): Promise<boolean> {
  return await poll(limitMs, async () => !(await worksIn(pid, dataPath)));
}

/** Resolves to true as soon as `condition` holds, to false when the limit has passed. */
export async function poll(limitMs: number, condition: () => Promise<boolean>): Promise<boolean> {
  const deadline = performance.now() + limitMs;
  for (;;) {
    if (await condition()) return true;
    if (performance.now() > deadline) return false;
    await systemClock.sleep(pollMs);
  }
}
