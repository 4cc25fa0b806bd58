/**
 * Packages with everything they depend on, for images that have a real package database. apt on the host decides and checks signatures, as
 * if nothing at all were installed; the files are kept in the cache, because several images share most of them.
 */
import { mkdir, readdir, rename, rm, stat, utimes } from "node:fs/promises";
import { join } from "node:path";
import { AppError } from "#domain/error.ts";
import { exec } from "#lib/exec.ts";
import { withFolderLock } from "#lib/folder-lock.ts";
import { packageDownload, packageRemember } from "#agent/image-packages.ts";
import type { PackageVersion } from "#agent/image-packages.ts";

const queryTimeoutMs = 60_000;
/** A package nobody used for so long was replaced by a newer one. */
const unusedLimitMs = 30 * 24 * 3_600_000;

/**
 * These packages, Debian's essential ones, and all they depend on, in the order apt would install them. Throws `not_found` when one of
 * them is not in apt's current lists. The answer is kept as long as the lists stay the same.
 */
export async function packageClosure(names: readonly string[], cacheDir: string, signal?: AbortSignal): Promise<PackageVersion[]> {
  return await packageRemember(["closure", ...names], cacheDir, () => closureAsk(names, signal), signal);
}

async function closureAsk(names: readonly string[], signal?: AbortSignal): Promise<PackageVersion[]> {
  const args = ["-s", "-y", "-o", "Dir::State::status=/dev/null", "-o", "APT::Install-Recommends=false", "install", "?essential", ...names];
  const { code, stdout, stderr } = await exec("apt-get", args, {
    timeoutMs: queryTimeoutMs,
    okCodes: [0, 100],
    env: { ...process.env, LC_ALL: "C" },
    ...(signal === undefined ? {} : { signal }),
  });
  if (code !== 0) {
    throw new AppError("not_found", `The packages ${names.join(", ")} cannot be installed from this host's package lists`, {
      internal: stderr,
    });
  }
  // Inst dash (0.5.12-2 Debian:12.15/oldstable [amd64])
  const chosen = [...stdout.matchAll(/^Inst (\S+) \((\S+) /gm)].map(([, name, version]) => ({ name: name ?? "", version: version ?? "" }));
  if (chosen.length === 0) throw new AppError("not_found", "This host's package lists are empty");
  return chosen;
}

/** Paths of exactly these packages, in the order given; downloads what is missing. `endpoint_unreachable` when that fails. */
export async function packagePool(packages: readonly PackageVersion[], cacheDir: string, signal?: AbortSignal): Promise<string[]> {
  const folder = join(cacheDir, ".packages");
  await mkdir(folder, { recursive: true });
  const missing = () => poolFind(folder, packages).then((found) => packages.filter((_, i) => found[i] === undefined));
  if ((await missing()).length > 0) {
    await withFolderLock(`${folder}.lock`, async () => poolFill(folder, await missing(), signal), signal);
  }
  const found = await poolFind(folder, packages);
  return found.map((file, i) => {
    if (file === undefined) throw new AppError("endpoint_unreachable", `The package ${packages[i]?.name} was not downloaded`);
    return join(folder, file);
  });
}

async function poolFind(folder: string, packages: readonly PackageVersion[]): Promise<(string | undefined)[]> {
  const files = await readdir(folder);
  const byVersion = new Map(files.filter((file) => file.endsWith(".deb")).map((file) => [file.slice(0, file.lastIndexOf("_")), file]));
  return packages.map(({ name, version }) => byVersion.get(`${name}_${version.replaceAll(":", "%3a")}`));
}

/** Files appear whole, by a rename: a download that was cut off is no package. */
async function poolFill(folder: string, missing: readonly PackageVersion[], signal?: AbortSignal): Promise<void> {
  if (missing.length === 0) return;
  const download = join(folder, "partial");
  await rm(download, { recursive: true, force: true });
  await packageDownload(missing, download, signal);
  for (const file of await readdir(download)) {
    if (file.endsWith(".deb")) await rename(join(download, file), join(folder, file));
  }
  await rm(download, { recursive: true, force: true });
}

/** Marks the packages as used now and removes those that were not used for a long time. */
export async function packagePoolSweep(files: readonly string[], cacheDir: string): Promise<void> {
  const folder = join(cacheDir, ".packages");
  const now = new Date();
  for (const file of files) await utimes(file, now, now).catch(() => {});
  for (const name of await readdir(folder)) {
    const entry = await stat(join(folder, name)).catch(() => null);
    if (entry?.isFile() && now.getTime() - entry.mtimeMs > unusedLimitMs) await rm(join(folder, name), { force: true });
  }
}
