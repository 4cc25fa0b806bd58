/**
 * The judges are libarchive and libblkid, which know nothing of our code. Not the kernel of this machine: cloud kernels often come
 * without isofs. The kernel of a guest reads a seed in test/endpoints/libvirt.test.ts.
 */
import { mkdtemp, mkdir, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join, relative } from "node:path";
import fc from "fast-check";
import { afterAll, beforeAll, expect, test } from "vitest";
import { exec } from "#lib/exec.ts";
import { makeIso, type IsoFile } from "#lib/iso9660.ts";

let dir = "";
beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), "iso-"));
});
afterAll(() => rm(dir, { recursive: true, force: true }));

/** Path to content (base64) of every file libarchive extracts, and the label libblkid sees. */
async function readBack(image: Buffer): Promise<{ label: string; files: Record<string, string> }> {
  const iso = join(dir, "image.iso");
  const out = join(dir, "out");
  await writeFile(iso, image);
  await rm(out, { recursive: true, force: true });
  await mkdir(out);
  await exec("bsdtar", ["-xf", iso, "-C", out]);
  const label = await exec("blkid", ["-p", "-o", "value", "-s", "LABEL", iso]);
  const entries = await readdir(out, { recursive: true, withFileTypes: true });
  const paths = entries.filter((entry) => entry.isFile()).map((entry) => join(entry.parentPath, entry.name));
  const files = await Promise.all(paths.map(async (path) => [relative(out, path), await readFile(path, "base64")] as const));
  return { label: label.stdout.trim(), files: Object.fromEntries(files) };
}

const expected = (files: readonly IsoFile[]): Record<string, string> =>
  Object.fromEntries(files.map((file) => [file.path, Buffer.from(file.content).toString("base64")]));

test("a seed is read back: label, long lower-case names, folder, contents", async () => {
  const files = [
    { path: "meta-data", content: "instance-id: 1\n" },
    { path: "user-data", content: "" },
    { path: "network-config", content: "ä".repeat(3000) },
    { path: "stratiform/hosts", content: "127.0.0.1 localhost\n" },
    { path: "stratiform/network", content: Buffer.alloc(2048, 7) },
  ];
  expect(await readBack(makeIso("cidata", files))).toEqual({ label: "cidata", files: expected(files) });
});

test("any set of files is read back", { timeout: 120_000 }, async () => {
  const name = fc.stringMatching(/^[a-z][a-zA-Z0-9._-]{0,30}$/).filter((text) => !text.endsWith("."));
  const file = fc.record({ folder: fc.option(fc.constantFrom("one", "two")), name, content: fc.uint8Array({ maxLength: 5000 }) });
  const files = fc.uniqueArray(
    file.map(({ folder, name: base, content }) => ({ path: folder === null ? `f${base}` : `${folder}/f${base}`, content })),
    { selector: ({ path }) => path, maxLength: 8 },
  );
  await fc.assert(
    fc.asyncProperty(files, async (set) => {
      expect((await readBack(makeIso("any", set))).files).toEqual(expected(set));
    }),
    { numRuns: 15 },
  );
});
