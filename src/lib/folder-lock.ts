/**
 * A lock between processes of one host: a folder, because `mkdir` is atomic on every file system. It saves double work; it does not
 * protect data, because a lock whose owner died is taken over and two takers may then meet. Use it only where the work itself ends in
 * an atomic step.
 */
import { mkdir, readFile, rename, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { processIdentify, processIsAlive, type ProcessIdentity } from "#lib/process-identity.ts";

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
      await writeFile(join(path, "owner"), ownerText(await processIdentify(process.pid)));
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

function ownerText(identity: ProcessIdentity | null): string {
  return identity === null ? "" : `${identity.pid} ${identity.startTicks}`;
}

/** Null when the lock names no owner (yet). */
async function ownerLives(path: string): Promise<boolean | null> {
  const text = await readFile(join(path, "owner"), "utf8").catch(() => "");
  const [pid, startTicks] = text.split(" ");
  if (pid === undefined || startTicks === undefined) return null;
  return await processIsAlive({ pid: Number(pid), startTicks });
}
