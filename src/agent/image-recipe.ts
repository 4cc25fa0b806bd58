/** A recipe: a folder with `recipe.yaml`, `build.sh` and the files of one image. Data and scripts only; the builder knows no image. */
import { createHash } from "node:crypto";
import { lstat, readFile, readdir, readlink } from "node:fs/promises";
import { dirname, join, relative, resolve } from "node:path";
import { parse } from "yaml";
import { z } from "zod";
import { AppError } from "#domain/error.ts";

/** Part of every recipe hash: raise it when a change of the builder changes what it produces from the same recipe. */
const builderProtocol = 1;

/** Debian package name; a trailing `~` stands for the newest package that the named one depends on (kernel meta packages). */
const packageName = z.string().regex(/^[a-z0-9][a-z0-9+.-]*~?$/);

export const recipeSchema = z.strictObject({
  name: z.string().regex(/^[a-z][a-z0-9-]{0,40}$/),
  version: z.string().regex(/^\d+\.\d+\.\d+$/),
  summary: z.string().max(300),
  kinds: z.array(z.enum(["vm", "container"])).min(1),
  architecture: z.enum(["x86_64", "aarch64"]),
  /** The tree the image is a layer on: `debian` is the sibling folder `base-debian`. Without it the script makes the whole tree. */
  base: z
    .string()
    .regex(/^[a-z][a-z0-9-]{0,30}$/)
    .optional(),
  /** Sibling folders whose files belong to the recipe too; the first one is `$COMMON` of the script. */
  include: z.array(z.string().regex(/^[a-z][a-z0-9-]*$/)).default([]),
  packages: z.strictObject({
    /** Must be installed on the building host. */
    host: z.array(packageName),
    /** Unpacked for the build and put first on PATH, never installed. */
    tools: z.array(packageName),
    /** Unpacked as `$PACKAGES` for use in the image, never installed. */
    image: z.array(packageName),
    /** Installed over the base, with everything they depend on. */
    layer: z.array(z.string().regex(/^[a-z0-9][a-z0-9+.-]*$/)).default([]),
  }),
  variants: z.array(z.strictObject({ format: z.enum(["qcow2", "lxd"]), file: z.string().regex(/^[a-z][a-z0-9.-]*$/) })).min(1),
});

type RecipeFile = z.infer<typeof recipeSchema>;

/** `base.yaml`: what is installed in a base tree besides Debian's essential packages. */
const baseSchema = z.strictObject({
  name: z.string().regex(/^base-[a-z][a-z0-9-]{0,30}$/),
  version: z.string().regex(/^\d+\.\d+\.\d+$/),
  summary: z.string().max(300),
  architecture: z.enum(["x86_64", "aarch64"]),
  packages: z.array(z.string().regex(/^[a-z0-9][a-z0-9+.-]*$/)),
});

export interface RecipeBase extends z.infer<typeof baseSchema> {
  /** Absolute path of the base's folder. */
  readonly folder: string;
}

export interface Recipe extends Omit<RecipeFile, "base"> {
  readonly base: RecipeBase | null;
  /** Absolute path of the recipe's folder. */
  readonly folder: string;
  /** Absolute paths of the included folders. */
  readonly included: readonly string[];
}

/** Throws `invalid_input` when the folder is not a recipe. */
export async function recipeRead(folder: string): Promise<Recipe> {
  const absolute = resolve(folder);
  const file = await yamlRead(join(absolute, "recipe.yaml"), recipeSchema);
  const base = file.base === undefined ? null : await baseRead(join(dirname(absolute), `base-${file.base}`));
  if (base === null && file.packages.layer.length > 0) {
    throw new AppError("invalid_input", "The image recipe is not valid", { internal: `${absolute}: packages.layer needs a base` });
  }
  return { ...file, base, folder: absolute, included: file.include.map((name) => join(dirname(absolute), name)) };
}

async function baseRead(folder: string): Promise<RecipeBase> {
  return { ...(await yamlRead(join(folder, "base.yaml"), baseSchema)), folder };
}

async function yamlRead<T>(path: string, schema: z.ZodType<T>): Promise<T> {
  let parsed: unknown;
  try {
    parsed = parse(await readFile(path, "utf8"));
  } catch (cause) {
    throw new AppError("invalid_input", "The image recipe cannot be read", { cause, internal: path });
  }
  const result = schema.safeParse(parsed);
  if (result.success) return result.data;
  const issue = result.error.issues[0];
  throw new AppError("invalid_input", "The image recipe is not valid", {
    internal: `${path}: ${issue?.path.join(".")}: ${issue?.message}`,
    cause: result.error,
  });
}

/**
 * Identity of what a build would produce: every file of the recipe (path, executable bit, content) and the version of every package
 * used, and the same of its base. Owner, time stamps and umask of the checkout do not count: the build scripts normalise them.
 */
export async function recipeHash(
  recipe: Pick<Recipe, "folder" | "included">,
  packages: readonly { readonly name: string; readonly version: string }[],
  baseHash?: string,
): Promise<string> {
  const hash = createHash("sha256").update(`builder ${builderProtocol}\n`);
  for (const folder of [recipe.folder, ...recipe.included]) {
    for (const file of await filesBelow(folder)) {
      const entry = await lstat(file);
      const content = entry.isSymbolicLink() ? Buffer.from(await readlink(file)) : await readFile(file);
      const type = entry.isSymbolicLink() ? "link" : entry.mode & 0o100 ? "executable" : "file";
      hash.update(`${type} ${content.length} ${relative(dirname(recipe.folder), file)}\n`).update(content);
    }
  }
  if (baseHash !== undefined) hash.update(`base ${baseHash}\n`);
  for (const { name, version } of packages.toSorted((a, b) => (a.name < b.name ? -1 : 1))) hash.update(`package ${name}=${version}\n`);
  return hash.digest("hex");
}

/** All files and links, sorted by path, so that the order of the directory does not matter. */
async function filesBelow(folder: string): Promise<string[]> {
  const entries = await readdir(folder, { recursive: true, withFileTypes: true });
  return (
    entries
      // What explains a recipe is no part of the image.
      .filter((entry) => !entry.isDirectory() && entry.name !== "README.md")
      .map((entry) => join(entry.parentPath, entry.name))
      .toSorted()
  );
}
