import { chmod, cp, mkdtemp, rm, utimes, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { recipeHash, recipeRead } from "#agent/image-recipe.ts";

const images = join(import.meta.dirname, "../../images");
const packages = [{ name: "busybox-static", version: "1" }];
let copy: string;

beforeEach(async () => {
  copy = await mkdtemp(join(tmpdir(), "stratiform-recipe-"));
  await cp(images, copy, { recursive: true, verbatimSymlinks: true });
});
afterEach(() => rm(copy, { recursive: true }));

const hash = async () => recipeHash(await recipeRead(join(copy, "tiny-edge")), packages);

test("the hash depends neither on the place nor on time stamps and permissions of the checkout", async () => {
  const original = await recipeHash(await recipeRead(join(images, "tiny-edge")), packages);
  await utimes(join(copy, "tiny-edge/build.sh"), 1, 1);
  await chmod(join(copy, "tiny-edge/metadata.yaml"), 0o600);
  expect(await hash()).toBe(original);
});

test.each<[string, () => Promise<void>]>([
  ["a changed file", () => writeFile(join(copy, "tiny-edge/build.sh"), "exit 1\n")],
  ["a changed shared file", () => writeFile(join(copy, "common/rootfs/etc/passwd"), "")],
  ["a new file", () => writeFile(join(copy, "tiny-edge/rootfs/etc/new"), "")],
  ["a changed executable bit", () => chmod(join(copy, "tiny-edge/rootfs/usr/lib/stratiform/boot"), 0o644)],
])("%s changes the hash", async (_what, change) => {
  const before = await hash();
  await change();
  expect(await hash()).not.toBe(before);
});

test("a newer package changes the hash, the order of packages does not", async () => {
  const recipe = await recipeRead(join(images, "tiny-node"));
  const two = [...packages, { name: "libc6", version: "2" }];
  expect(await recipeHash(recipe, two)).toBe(await recipeHash(recipe, two.toReversed()));
  expect(await recipeHash(recipe, two)).not.toBe(await recipeHash(recipe, [...packages, { name: "libc6", version: "3" }]));
});

test.each([
  ["no recipe.yaml", null],
  ["an unknown member", "name: x\nsurprise: 1\n"],
  ["a member that is missing", "name: x\nversion: 1.0.0\n"],
])("%s is invalid_input", async (_what, text) => {
  const file = join(copy, "tiny-edge/recipe.yaml");
  await (text === null ? rm(file) : writeFile(file, text));
  await expect(recipeRead(join(copy, "tiny-edge"))).rejects.toMatchObject({ code: "invalid_input" });
});
