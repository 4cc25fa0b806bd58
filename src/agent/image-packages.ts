/**
 * Debian packages for image builds: found and downloaded with the host's own apt (its mirrors, its keys), unpacked into a folder, never
 * installed on the host.
 */
import { createHash, randomUUID } from "node:crypto";
import { mkdir, readdir, readFile, rename, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { z } from "zod";
import { AppError } from "#domain/error.ts";
import { exec } from "#lib/exec.ts";
import { withFolderLock } from "#lib/folder-lock.ts";

const downloadTimeoutMs = 600_000;
const queryTimeoutMs = 60_000;

export interface PackageVersion {
  readonly name: string;
  readonly version: string;
}

/** What decides apt's answer: its lists, its sources and its preferences. */
const aptInputs = ["/var/lib/apt/lists", "/etc/apt", "/etc/apt/sources.list.d", "/etc/apt/preferences.d", "/etc/apt/apt.conf.d"];

const answerSchema = z.array(z.object({ name: z.string(), version: z.string() }));

/**
 * The candidate versions in apt's current lists, in the order given. Throws `not_found` naming the first package that is missing.
 * apt parses its lists for every question (about a CPU second), so answers are kept in `cacheDir` for as long as the lists stay the same.
 */
export async function packageResolve(names: readonly string[], cacheDir: string, signal?: AbortSignal): Promise<PackageVersion[]> {
  return await packageRemember(names, cacheDir, () => packageAsk(names, signal), signal);
}

/** The answer to a question, kept for as long as apt would answer the same. */
export async function packageRemember(
  question: readonly string[],
  cacheDir: string,
  ask: () => Promise<PackageVersion[]>,
  signal?: AbortSignal,
): Promise<PackageVersion[]> {
  const file = join(cacheDir, `.versions-${(await aptFingerprint(question)).slice(0, 16)}.json`);
  const known = await answerRead(file);
  if (known !== null) return known;
  // Images that are built side by side share their base's question.
  return await withFolderLock(`${file}.lock`, async () => (await answerRead(file)) ?? (await answerWrite(file, await ask())), signal);
}

async function answerRead(file: string): Promise<PackageVersion[] | null> {
  try {
    return answerSchema.parse(JSON.parse(await readFile(file, "utf8")));
  } catch {
    return null;
  }
}

async function answerWrite(file: string, answer: PackageVersion[]): Promise<PackageVersion[]> {
  const temporary = `${file}.${process.pid}.${randomUUID()}`;
  await writeFile(temporary, JSON.stringify(answer));
  await rename(temporary, file);
  return answer;
}

async function aptFingerprint(question: readonly string[]): Promise<string> {
  const hash = createHash("sha256").update(JSON.stringify(question));
  for (const folder of aptInputs) {
    const entries = await readdir(folder, { withFileTypes: true }).catch(() => []);
    for (const entry of entries.filter((candidate) => candidate.isFile()).toSorted((a, b) => (a.name < b.name ? -1 : 1))) {
      const { size, mtimeMs } = await stat(join(folder, entry.name));
      hash.update(`${folder}/${entry.name} ${size} ${mtimeMs}\n`);
    }
  }
  return hash.digest("hex");
}

async function packageAsk(names: readonly string[], signal?: AbortSignal): Promise<PackageVersion[]> {
  if (names.length === 0) return [];
  const known = await packageShow(
    names.map((name) => name.replace(/~$/, "")),
    signal,
  );
  const dependencies = names.filter((name) => name.endsWith("~")).map((name) => firstDependency(known, name.slice(0, -1)));
  const more = dependencies.length === 0 ? known : await packageShow(dependencies, signal);
  return names.map((name) => {
    const real = name.endsWith("~") ? firstDependency(known, name.slice(0, -1)) : name;
    const version = (more.get(real) ?? known.get(real))?.["Version"];
    if (version === undefined) throw missing(real);
    return { name: real, version };
  });
}

function missing(name: string): AppError {
  return new AppError("not_found", `The package ${name} is not in this host's package lists`);
}

function firstDependency(known: Map<string, Record<string, string>>, name: string): string {
  const fields = known.get(name);
  if (fields === undefined) throw missing(name);
  const first = /^[a-z0-9][a-z0-9+.-]*/.exec(fields["Depends"] ?? "")?.[0];
  if (first === undefined) throw new AppError("internal", `The package ${name} depends on nothing`);
  return first;
}

/** Control fields of the candidate versions; unknown packages are missing from the answer. */
async function packageShow(names: readonly string[], signal?: AbortSignal): Promise<Map<string, Record<string, string>>> {
  const { stdout } = await exec("apt-cache", ["show", "--no-all-versions", ...names], {
    timeoutMs: queryTimeoutMs,
    okCodes: [0, 100], // 100: some are unknown; the caller names them.
    ...(signal === undefined ? {} : { signal }),
  });
  const found = new Map<string, Record<string, string>>();
  for (const paragraph of stdout.split(/\n\n+/)) {
    const fields: Record<string, string> = {};
    for (const match of paragraph.matchAll(/^([A-Za-z-]+): (.*)$/gm)) fields[match[1] ?? ""] = match[2] ?? "";
    const name = fields["Package"];
    if (name !== undefined && !found.has(name)) found.set(name, fields);
  }
  return found;
}

/** Brings apt's lists up to date: they are missing in a fresh host, and old lists name files that mirrors no longer have. */
export async function packageListsUpdate(signal?: AbortSignal): Promise<void> {
  await exec("apt-get", ["-q", "update"], { timeoutMs: downloadTimeoutMs, ...(signal === undefined ? {} : { signal }) });
}

/** Downloads and unpacks exactly these versions into `target`. `endpoint_unreachable` when the download fails. */
export async function packageUnpack(
  packages: readonly PackageVersion[],
  folders: { readonly download: string; readonly target: string },
  signal?: AbortSignal,
): Promise<void> {
  await mkdir(folders.target, { recursive: true });
  await packageDownload(packages, folders.download, signal);
  const options = { timeoutMs: downloadTimeoutMs, ...(signal === undefined ? {} : { signal }) };
  for (const file of (await readdir(folders.download)).toSorted()) {
    await exec("dpkg-deb", ["-x", join(folders.download, file), folders.target], options);
  }
}

/** Downloads exactly these versions into the folder. `endpoint_unreachable` when that fails. */
export async function packageDownload(packages: readonly PackageVersion[], folder: string, signal?: AbortSignal): Promise<void> {
  await mkdir(folder, { recursive: true });
  if (packages.length === 0) return;
  try {
    // apt's unprivileged helper cannot write into our private folder, so it is told to stay root; signatures are checked all the same.
    const args = ["-q", "-o", "APT::Sandbox::User=root", "download", ...packages.map(({ name, version }) => `${name}=${version}`)];
    await exec("apt-get", args, { timeoutMs: downloadTimeoutMs, cwd: folder, ...(signal === undefined ? {} : { signal }) });
  } catch (cause) {
    if (signal?.aborted) throw cause;
    throw new AppError("endpoint_unreachable", "Packages for the image cannot be downloaded", { cause });
  }
}

/** Throws `capability_missing` naming the host packages that are not installed. */
export async function packageRequire(names: readonly string[], signal?: AbortSignal): Promise<void> {
  if (names.length === 0) return;
  const { stdout } = await exec("dpkg-query", ["-W", "-f", "${Package} ${db:Status-Status}\n", ...names], {
    okCodes: [0, 1],
    ...(signal === undefined ? {} : { signal }),
  });
  const installed = new Set(
    stdout
      .split("\n")
      .filter((line) => line.endsWith(" installed"))
      .map((line) => line.split(" ")[0]),
  );
  const absent = names.filter((name) => !installed.has(name));
  if (absent.length > 0) throw new AppError("capability_missing", `This host lacks the packages ${absent.join(", ")}`);
}
