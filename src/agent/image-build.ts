/**
 * Builds images from recipes, on a Debian host, as root, without loop devices and without a mount that anybody else sees. A build is
 * named by the hash of its recipe's files and package versions, made in a private folder and published by one rename: the cache holds
 * complete builds or nothing. Any number of builders may share a cache; a lock lets the second one wait instead of working twice, but
 * correctness does not rest on it.
 *
 * Environment of a recipe's build.sh: RECIPE and COMMON (folders), IMAGES (the folder of all recipes), TOOLS and PACKAGES (unpacked tool
 * and image packages), WORK (scratch), OUT (results), SOURCE_DATE_EPOCH; the tools of the recipe come first on PATH. Of a recipe with a
 * base also BASE (the base's folder) and ROOT: the tree with the layer's packages installed, which the script may change.
 */
import { createHash } from "node:crypto";
import { createReadStream } from "node:fs";
import { chmod, mkdir, mkdtemp, readdir, readFile, rename, rm, stat, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { pipeline } from "node:stream/promises";
import { z } from "zod";
import type { Log } from "#domain/context.ts";
import { AppError, isAppError } from "#domain/error.ts";
import { exec } from "#lib/exec.ts";
import { withFolderLock } from "#lib/folder-lock.ts";
import { baseEnsure, isolatedRun, layerResolve, packageList, sourceDateEpoch } from "./image-base.ts";
import type { ResolvedLayer } from "./image-base.ts";
import { packageListsUpdate, packageRequire, packageResolve, packageUnpack } from "./image-packages.ts";
import type { PackageVersion } from "./image-packages.ts";
import { recipeHash, recipeRead } from "./image-recipe.ts";
import type { Recipe } from "./image-recipe.ts";

const buildTimeoutMs = 600_000;
const workAgeLimitMs = 3_600_000;

export interface ImageBuildOptions {
  /** Folder of the recipe, e.g. `images/tiny-node`. */
  readonly recipe: string;
  /** Complete builds live here as `<name>-<16 hex of the recipe hash>/`; everything else in it may be deleted at any time. */
  readonly cacheDir: string;
  readonly log: Log;
  readonly onProgress?: (stage: ImageBuildStage) => void;
  readonly signal?: AbortSignal;
}

export type ImageBuildStage = "resolve" | "cached" | "wait" | "base" | "packages" | "build" | "publish";

export interface BuiltImageVariant {
  readonly format: "qcow2" | "lxd";
  readonly path: string;
  /** sha256 of the file, hex. */
  readonly digest: string;
  readonly sizeBytes: number;
}

export interface BuiltImage {
  /** Name of the recipe. */
  readonly recipe: string;
  readonly version: string;
  readonly recipeHash: string;
  readonly kinds: readonly ("vm" | "container")[];
  readonly architecture: string;
  readonly variants: readonly BuiltImageVariant[];
}

/** The file that makes a folder of the cache a build; paths are relative so that the cache may be moved. */
const manifestSchema = z.object({
  recipeHash: z.string(),
  packages: z.array(z.object({ name: z.string(), version: z.string() })),
  variants: z.array(z.object({ format: z.enum(["qcow2", "lxd"]), file: z.string(), digest: z.string(), sizeBytes: z.number() })),
});

/** Returns the cached build or makes it. Errors: `invalid_input`, `capability_missing`, `endpoint_unreachable`, `not_found`, `internal`. */
export async function buildImage(options: ImageBuildOptions): Promise<BuiltImage> {
  const recipe = await recipeRead(options.recipe);
  await mkdir(options.cacheDir, { recursive: true });
  options.onProgress?.("resolve");
  await packageRequire(recipe.packages.host, options.signal);
  try {
    return await buildResolved(recipe, options);
  } catch (error) {
    if (!isAppError(error, "not_found") && !isAppError(error, "endpoint_unreachable")) throw error;
    // Missing or outdated package lists look like this. Fresh lists may give another hash, so everything starts again, once.
    options.log.warn({ recipe: recipe.name, code: error.code }, "package lists are missing or outdated, updating them");
    await withFolderLock(join(options.cacheDir, "apt.lock"), () => packageListsUpdate(options.signal), options.signal);
    return await buildResolved(recipe, options);
  }
}

async function buildResolved(recipe: Recipe, options: ImageBuildOptions): Promise<BuiltImage> {
  const all = await packageResolve([...recipe.packages.tools, ...recipe.packages.image], options.cacheDir, options.signal);
  const packages = { tools: all.slice(0, recipe.packages.tools.length), image: all.slice(recipe.packages.tools.length) };
  const layer = recipe.base === null ? null : await layerResolve(recipe.base, recipe.packages.layer, options);
  const hash = await recipeHash(recipe, [...all, ...(layer?.packages ?? [])], layer?.base.hash);
  const published = join(options.cacheDir, `${recipe.name}-${hash.slice(0, 16)}`);
  const cached = await buildRead(recipe, hash, published);
  if (cached !== null) {
    options.onProgress?.("cached");
    return cached;
  }
  options.onProgress?.("wait");
  return await withFolderLock(
    `${published}.lock`,
    async () => (await buildRead(recipe, hash, published)) ?? (await buildMake(recipe, { hash, packages, layer, published }, options)),
    options.signal,
  );
}

/** Null when there is no complete build in the folder. */
async function buildRead(recipe: Recipe, hash: string, folder: string): Promise<BuiltImage | null> {
  let text: string;
  try {
    text = await readFile(join(folder, "image.json"), "utf8");
  } catch {
    return null;
  }
  const manifest = manifestSchema.parse(JSON.parse(text));
  const variants = manifest.variants.map(({ file, ...variant }) => ({ ...variant, path: join(folder, file) }));
  return {
    recipe: recipe.name,
    version: recipe.version,
    recipeHash: hash,
    kinds: recipe.kinds,
    architecture: recipe.architecture,
    variants,
  };
}

interface BuildJob {
  readonly hash: string;
  readonly packages: { readonly tools: readonly PackageVersion[]; readonly image: readonly PackageVersion[] };
  readonly layer: ResolvedLayer | null;
  /** Where the finished build appears. */
  readonly published: string;
}

async function buildMake(recipe: Recipe, job: BuildJob, options: ImageBuildOptions): Promise<BuiltImage> {
  const startedMs = performance.now();
  await workSweep(options.cacheDir);
  const work = await mkdtemp(join(options.cacheDir, ".work-"));
  try {
    await buildFiles(recipe, job, work, options);
    options.onProgress?.("publish");
    await buildPublish(recipe, job, join(work, "out"));
  } finally {
    await rm(work, { recursive: true, force: true });
  }
  const built = await buildRead(recipe, job.hash, job.published);
  if (built === null) throw new AppError("internal", `The image ${recipe.name} was built but is not in the cache`);
  options.log.info({ recipe: recipe.name, hash: job.hash, durationMs: Math.round(performance.now() - startedMs) }, "image built");
  return built;
}

/** Runs the recipe's script; what it made is then in `work/out`. */
async function buildFiles(recipe: Recipe, job: BuildJob, work: string, options: ImageBuildOptions): Promise<void> {
  const { layer } = job;
  const tools = join(work, "tools");
  const image = join(work, "packages");
  options.onProgress?.(layer === null ? "packages" : "base");
  // Downloads go on while the base is made (or somebody else makes it); all of them end before the folder is cleared away.
  const [root, debs] = await allDone([
    layer === null ? null : baseEnsure(layer.base, options),
    layer === null ? null : packageList(layer.packages, work, options),
    packageUnpack(job.packages.tools, { download: join(work, "debs-tools"), target: tools }, options.signal),
    packageUnpack(job.packages.image, { download: join(work, "debs-image"), target: image }, options.signal),
  ]);
  options.onProgress?.("build");
  const out = join(work, "out");
  const scratch = join(work, "scratch");
  await mkdir(out);
  await mkdir(scratch);
  const env = {
    PATH: `${tools}/usr/bin:${tools}/bin:${tools}/usr/sbin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin`,
    LC_ALL: "C",
    TZ: "UTC",
    TMPDIR: scratch,
    SOURCE_DATE_EPOCH: sourceDateEpoch,
    RECIPE: recipe.folder,
    COMMON: recipe.included[0] ?? recipe.folder,
    IMAGES: dirname(recipe.folder),
    TOOLS: tools,
    PACKAGES: image,
    WORK: scratch,
    OUT: out,
  };
  if (layer === null || root === null || debs === null) {
    const settings = { cwd: scratch, timeoutMs: buildTimeoutMs, env, ...(options.signal === undefined ? {} : { signal: options.signal }) };
    await exec("bash", [join(recipe.folder, "build.sh")], settings);
    return;
  }
  const { folder } = layer.base.base;
  await isolatedRun(join(folder, "layer.sh"), { ...env, BASE: folder, BASE_ROOT: root, DEBS: debs }, scratch, options.signal);
}

/** As `Promise.all`, but nothing goes on any more when it rejects. */
async function allDone<const T extends readonly unknown[]>(work: T): Promise<{ -readonly [K in keyof T]: Awaited<T[K]> }> {
  await Promise.allSettled(work);
  return await Promise.all(work);
}

/** Removes what builders that were killed left behind. No build lasts as long as the limit. */
async function workSweep(cacheDir: string): Promise<void> {
  for (const name of await readdir(cacheDir)) {
    if (!name.startsWith(".work-")) continue;
    const folder = join(cacheDir, name);
    const entry = await stat(folder).catch(() => null);
    if (entry !== null && Date.now() - entry.mtimeMs > workAgeLimitMs) await rm(folder, { recursive: true, force: true });
  }
}

async function buildPublish(recipe: Recipe, job: BuildJob, out: string): Promise<void> {
  const variants = [];
  for (const { format, file } of recipe.variants) {
    const path = join(out, file);
    const hash = createHash("sha256");
    await pipeline(createReadStream(path), hash);
    variants.push({ format, file, digest: hash.digest("hex"), sizeBytes: (await stat(path)).size });
  }
  const manifest = {
    recipe: recipe.name,
    version: recipe.version,
    recipeHash: job.hash,
    packages: [
      ...job.packages.tools,
      ...job.packages.image,
      ...(job.layer === null ? [] : [...job.layer.base.packages, ...job.layer.packages]),
    ],
    variants,
  };
  await writeFile(join(out, "image.json"), `${JSON.stringify(manifest, null, 2)}\n`);
  // The control plane reads the files and need not be root; nothing in an image is secret.
  for (const { file } of [...variants, { file: "image.json" }]) await chmod(join(out, file), 0o644);
  await chmod(out, 0o755);
  try {
    await rename(out, job.published);
  } catch (error) {
    // Another builder was first (its lock had been taken for stale): its build is as good as ours.
    const code = error instanceof Error && "code" in error ? error.code : undefined;
    if (code !== "ENOTEMPTY" && code !== "EEXIST") throw error;
  }
}
