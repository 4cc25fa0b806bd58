/**
 * Base trees: what several images are layers on, built once and kept in the cache by the hash of its own files and packages. A tree is
 * never written to after it was published: layers lie over it (images/base-debian/layer.sh).
 */
import { chmod, mkdir, mkdtemp, rename, rm, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { Log } from "#domain/context.ts";
import { exec } from "#lib/exec.ts";
import { withFolderLock } from "#lib/folder-lock.ts";
import { packageClosure, packagePool, packagePoolSweep } from "#agent/image-package-pool.ts";
import type { PackageVersion } from "#agent/image-packages.ts";
import { recipeHash } from "#agent/image-recipe.ts";
import type { RecipeBase } from "#agent/image-recipe.ts";

const baseTimeoutMs = 600_000;

/** Mounts and processes of a build are its own and end with it, also when it is killed. */
const isolation = ["--mount", "--propagation", "private", "--pid", "--fork", "--kill-child", "--mount-proc"];

/** Every time stamp that a build makes: fixed, so that the same recipe and packages give the same digest everywhere. */
export const sourceDateEpoch = "1700000000";

/** A base that may not be built yet. */
export interface ResolvedBase {
  readonly base: RecipeBase;
  readonly hash: string;
  readonly packages: readonly PackageVersion[];
}

/** What a recipe adds to its base. */
export interface ResolvedLayer {
  readonly base: ResolvedBase;
  /** Without those of the base, in the order of installation. */
  readonly packages: readonly PackageVersion[];
}

interface BaseOptions {
  readonly cacheDir: string;
  readonly log: Log;
  readonly signal?: AbortSignal;
}

export async function layerResolve(base: RecipeBase, names: readonly string[], options: BaseOptions): Promise<ResolvedLayer> {
  const { cacheDir, signal } = options;
  const [own, all] = await Promise.all([
    packageClosure(base.packages, cacheDir, signal),
    packageClosure([...base.packages, ...names], cacheDir, signal),
  ]);
  const known = new Set(own.map(({ name, version }) => `${name}=${version}`));
  const packages = all.filter(({ name, version }) => !known.has(`${name}=${version}`));
  const hash = await recipeHash({ folder: base.folder, included: [] }, own);
  return { base: { base, hash, packages: own }, packages };
}

/** Folder of the tree; builds it when the cache has none. */
export async function baseEnsure(resolved: ResolvedBase, options: BaseOptions): Promise<string> {
  const published = join(options.cacheDir, `${resolved.base.name}-${resolved.hash.slice(0, 16)}`);
  const tree = join(published, "rootfs");
  if (await isThere(tree)) return tree;
  await withFolderLock(
    `${published}.lock`,
    async () => {
      if (!(await isThere(tree))) await baseBuild(resolved, published, options);
    },
    options.signal,
  );
  return tree;
}

async function baseBuild({ base, packages }: ResolvedBase, published: string, options: BaseOptions): Promise<void> {
  const startedMs = performance.now();
  const work = await mkdtemp(join(options.cacheDir, ".work-"));
  try {
    const out = join(work, "out");
    await mkdir(out);
    const script = join(base.folder, "bootstrap.sh");
    const debs = await packageList(packages, work, options);
    const env = { BASE: base.folder, DEBS: debs, OUT: out, SOURCE_DATE_EPOCH: sourceDateEpoch };
    await isolatedRun(script, env, work, options.signal);
    // A tree holds programs that run as root for whoever starts them: nobody else may come near.
    await chmod(out, 0o700);
    await rename(out, published).catch((error: unknown) => {
      // Another builder was first (its lock had been taken for stale): its tree is as good as ours.
      const code = error instanceof Error && "code" in error ? error.code : undefined;
      if (code !== "ENOTEMPTY" && code !== "EEXIST") throw error;
    });
  } finally {
    await rm(work, { recursive: true, force: true });
  }
  options.log.info({ base: base.name, durationMs: Math.round(performance.now() - startedMs) }, "base tree built");
}

/** Downloads the packages and writes the list of their files, which is what the scripts read. */
export async function packageList(packages: readonly PackageVersion[], folder: string, options: BaseOptions): Promise<string> {
  const files = await packagePool(packages, options.cacheDir, options.signal);
  await packagePoolSweep(files, options.cacheDir);
  const list = join(folder, "debs");
  await writeFile(list, files.map((file) => `${file}\n`).join(""));
  return list;
}

/** Runs a script with namespaces of its own. */
export async function isolatedRun(script: string, env: Record<string, string>, cwd: string, signal?: AbortSignal): Promise<void> {
  await exec("unshare", [...isolation, "bash", script], {
    cwd,
    timeoutMs: baseTimeoutMs,
    env: { PATH: "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", LC_ALL: "C", TZ: "UTC", ...env },
    ...(signal === undefined ? {} : { signal }),
  });
}

async function isThere(path: string): Promise<boolean> {
  return stat(path).then(
    () => true,
    () => false,
  );
}
