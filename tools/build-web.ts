/**
 * Builds the console, once for the same sources: the result lies in `.cache/web/<hash of what it is made of>`. Run as a program it prints
 * that folder; `strat up` in a clone does so beside its own start, `npm run build` puts it into the package.
 */
import { createHash } from "node:crypto";
import {
  existsSync,
  globSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { brotliCompressSync, constants, gzipSync } from "node:zlib";
import { withFolderLock } from "#lib/folder-lock.ts";
import { root } from "./suites.ts";

/** What the console is made of: of `domain` it takes types only, and the lock file stands for the packages. */
const sources = ["src/web/**/*", "src/sdk/*.ts", "vite.config.ts", "package-lock.json", "tools/build-web.ts"];
const cache = join(root, ".cache", "web");
/** Earlier results stay for control planes that still serve them. */
const resultsKept = 3;
const compressedFromBytes = 1_024;

export interface WebBuild {
  readonly folder: string;
  /** False: it was there already. */
  readonly isNew: boolean;
  readonly milliseconds: number;
}

export async function buildWeb(): Promise<WebBuild> {
  const started = performance.now();
  const folder = join(cache, hashOfSources());
  const done = (isNew: boolean) => ({ folder, isNew, milliseconds: Math.round(performance.now() - started) });
  if (isBuilt(folder)) return done(false);
  mkdirSync(cache, { recursive: true });
  return withFolderLock(join(cache, "lock"), async () => {
    // Somebody else may have built it while this process waited.
    if (isBuilt(folder)) return done(false);
    const unfinished = `${folder}.${process.pid}`;
    const { build } = await import("vite");
    // Whoever calls may have set it for itself, as test runners do, and would get the slow half of every library.
    const { NODE_ENV } = process.env;
    process.env["NODE_ENV"] = "production";
    await build({ configFile: join(root, "vite.config.ts"), logLevel: "warn", build: { outDir: unfinished, emptyOutDir: true } });
    if (NODE_ENV === undefined) delete process.env["NODE_ENV"];
    else process.env["NODE_ENV"] = NODE_ENV;
    compress(unfinished);
    renameSync(unfinished, folder);
    removeOld(folder);
    return done(true);
  });
}

function hashOfSources(): string {
  const hash = createHash("sha256");
  const files = globSync(sources, { cwd: root, withFileTypes: false }).filter((file) => statSync(join(root, file)).isFile());
  for (const file of files.filter((name) => !/\.test\.tsx?$/.test(name)).toSorted())
    hash
      .update(`${file}\0`)
      .update(readFileSync(join(root, file)))
      .update("\0");
  return hash.digest("hex").slice(0, 16);
}

function isBuilt(folder: string): boolean {
  if (!existsSync(join(folder, "index.html"))) return false;
  utimesSync(folder, new Date(), new Date());
  return true;
}

/** Beside each text file its compressed forms, so that serving costs no processor time. */
function compress(folder: string): void {
  for (const file of globSync("**/*.{js,css,svg}", { cwd: folder })) {
    const content = readFileSync(join(folder, file));
    if (content.length < compressedFromBytes) continue;
    writeFileSync(join(folder, `${file}.gz`), gzipSync(content, { level: 9 }));
    // Quality 9 is a tenth of the time of 11 and a few per cent larger.
    writeFileSync(join(folder, `${file}.br`), brotliCompressSync(content, { params: { [constants.BROTLI_PARAM_QUALITY]: 9 } }));
  }
}

/** Also what builds that were killed left behind. */
function removeOld(newest: string): void {
  const folders = readdirSync(cache, { withFileTypes: true }).filter((entry) => entry.isDirectory() && entry.name !== "lock");
  const byAge = folders
    .map((entry) => join(cache, entry.name))
    .filter((folder) => folder !== newest)
    .map((folder) => ({ folder, at: statSync(folder).mtimeMs }))
    .toSorted((a, b) => b.at - a.at);
  for (const { folder } of byAge.slice(resultsKept - 1)) rmSync(folder, { recursive: true, force: true });
}

export interface WebSize {
  readonly file: string;
  readonly bytes: number;
  readonly gzipBytes: number;
}

export function sizesOf(folder: string): WebSize[] {
  return globSync("assets/*.{js,css}", { cwd: folder })
    .toSorted()
    .map((file) => {
      const content = readFileSync(join(folder, file));
      return { file, bytes: content.length, gzipBytes: gzipSync(content).length };
    });
}

if (import.meta.main) {
  const result = await buildWeb();
  if (process.argv.includes("--json")) console.log(JSON.stringify(result));
  else {
    const kib = (bytes: number) => `${(bytes / 1024).toFixed(1).padStart(7)} KiB`;
    for (const { file, bytes, gzipBytes } of sizesOf(result.folder)) console.log(`${kib(bytes)} ${kib(gzipBytes)} gzip  ${file}`);
    console.log(`${result.folder} (${result.isNew ? "built" : "was there"}, ${result.milliseconds} ms)`);
  }
}
