import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdir, mkdtemp, readdir, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { withFolderLock } from "#lib/folder-lock.ts";

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "stratiform-lock-"));
});
afterEach(() => rm(folder, { recursive: true }));

const sleep = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));

test("only one works at a time, and all get their turn", async () => {
  let inside = 0;
  const done: number[] = [];
  const work = (n: number) =>
    withFolderLock(join(folder, "l"), async () => {
      expect(++inside).toBe(1);
      await sleep(20);
      inside--;
      done.push(n);
    });
  await Promise.all([work(1), work(2), work(3)]);
  expect(done.toSorted()).toEqual([1, 2, 3]);
  expect(await readdir(folder)).toEqual([]);
});

test("a failure frees the lock and is passed on", async () => {
  const failing = withFolderLock(join(folder, "l"), () => Promise.reject(new Error("no")));
  await expect(failing).rejects.toThrow("no");
  expect(await readdir(folder)).toEqual([]);
});

test("takes over from a dead owner, and from a process that only reuses its id", async () => {
  const child = spawn("true");
  await once(child, "exit");
  for (const owner of [`${child.pid} 1`, `${process.pid} 1`]) {
    await mkdir(join(folder, "l"));
    await writeFile(join(folder, "l", "owner"), owner);
    expect(await withFolderLock(join(folder, "l"), () => Promise.resolve("mine"))).toBe("mine");
  }
  expect(await readdir(folder)).toEqual([]);
});

test("an abort ends the wait", async () => {
  await withFolderLock(join(folder, "l"), async () => {
    const waiting = withFolderLock(join(folder, "l"), () => Promise.resolve(), AbortSignal.timeout(50));
    await expect(waiting).rejects.toThrow(/timeout/);
  });
});
