/**
 * A lock between processes of one host: a folder, because `mkdir` is atomic on every file system. It saves double work; it does not
 * protect data, because a lock whose owner died is taken over and two takers may then meet. Use it only where the work itself ends in
 * an atomic step.
 */
import { mkdir, readFile, rename, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";

const pollMs = 150;
/** A lock without an owner's file is one that is just being made, unless it stays so. */
const ownerlessLimitMs = 5_000;

/** Runs `work` while holding the lock at `path`, waiting for it as long as its owner lives. Rejects when `signal` aborts the wait. */
export async function withFolderLock<T>(path: string, work: () => Promise<T>, signal?: AbortSignal): Promise<T> {
  await acquire(path, signal);
  try {
    return await work();
  } finally {
    await rm(path, { recursive: true, force: true });
  }
}

async function acquire(path: string, signal?: AbortSignal): Promise<void> {
  let ownerlessSinceMs: number | undefined;
  for (;;) {
    signal?.throwIfAborted();
    try {
      await mkdir(path);
      await writeFile(join(path, "owner"), `${process.pid} ${await startTime(process.pid)}`);
      return;
    } catch (error) {
      if (!(error instanceof Error && "code" in error && error.code === "EEXIST")) throw error;
    }
    const alive = await ownerLives(path);
    if (alive === null) ownerlessSinceMs ??= Date.now();
    else ownerlessSinceMs = undefined;
    if (alive === false || (ownerlessSinceMs !== undefined && Date.now() - ownerlessSinceMs > ownerlessLimitMs)) await discard(path);
    else await new Promise((resolve) => setTimeout(resolve, pollMs));
  }
}

/** Renames first, so that of several takers only one removes the folder. */
async function discard(path: string): Promise<void> {
  const stale = `${path}.stale-${process.pid}-${performance.now()}`;
  try {
    await rename(path, stale);
  } catch {
    return; // Somebody else took it over.
  }
  await rm(stale, { recursive: true, force: true });
}

/** Null when the lock names no owner (yet). The start time tells a reused process id from the owner. */
async function ownerLives(path: string): Promise<boolean | null> {
  const text = await readFile(join(path, "owner"), "utf8").catch(() => "");
  const [pid, started] = text.split(" ");
  if (pid === undefined || started === undefined) return null;
  return (await startTime(Number(pid))) === started;
}

/** Start time in clock ticks since boot, or an empty string when there is no such process or it is a zombie. */
async function startTime(pid: number): Promise<string> {
  const stat = await readFile(`/proc/${pid}/stat`, "utf8").catch(() => "");
  const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  return fields[0] === "Z" ? "" : (fields[19] ?? "");
}
