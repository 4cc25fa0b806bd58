/**
 * `npm run build`: an installable package in dist/ (`npm pack ./dist`). Every source file becomes JavaScript in its place, so that files
 * that start each other (workers, the agent's relay) find each other as in a clone; `#layer/file.ts` is mapped
 * by the package's imports, relative specifiers are rewritten. The console is bundled for browsers into `web/`.
 * Then the result is proved: it starts a control plane on a database of its own, which answers, serves the console and keeps its heartbeat.
 */
import { spawn } from "node:child_process";
import { cpSync, globSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { build } from "esbuild";
import { buildWeb } from "./build-web.ts";
import { root } from "./suites.ts";

const dist = join(root, "dist");
const startLimitMs = 60_000;
/** Longer than a heartbeat lives, so that a worker that did not start would show. */
const heartbeatLifeMs = 15_000;

async function compile(): Promise<number> {
  rmSync(dist, { recursive: true, force: true });
  const entryPoints = globSync("src/**/*.ts", { cwd: root, exclude: ["src/web/**", "**/*.test.ts"] });
  await build({
    entryPoints: entryPoints.map((path) => join(root, path)),
    outbase: root,
    outdir: dist,
    bundle: false,
    platform: "node",
    target: "node24",
    format: "esm",
    logLevel: "warning",
  });
  for (const file of globSync("src/**/*.js", { cwd: dist })) {
    const path = join(dist, file);
    writeFileSync(path, readFileSync(path, "utf8").replaceAll(/((?:from|import)\s*\(?\s*"\.{1,2}\/[^"]+)\.ts"/g, '$1.js"'));
  }
  cpSync((await buildWeb()).folder, join(dist, "web"), { recursive: true });
  for (const script of globSync("src/**/*.sh", { cwd: root })) cpSync(join(root, script), join(dist, script));
  for (const folder of ["offerings", "images", "bin"]) cpSync(join(root, folder), join(dist, folder), { recursive: true });
  for (const file of ["README.md", "LICENSE"]) cpSync(join(root, file), join(dist, file));
  const { name, version, description, license, type, engines, bin, dependencies, optionalDependencies } = JSON.parse(
    readFileSync(join(root, "package.json"), "utf8"),
  ) as Record<string, unknown>;
  const imports = { "#*.ts": "./src/*.js" };
  const made = { name, version, description, license, type, engines, bin, imports, dependencies, optionalDependencies };
  writeFileSync(join(dist, "package.json"), `${JSON.stringify(made, null, 2)}\n`);
  return entryPoints.length;
}

/** Starts what was built in a copy outside the clone, with nothing but the packages beside it. */
async function prove(): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), "stratiform-build-"));
  const copy = join(folder, "package");
  cpSync(dist, copy, { recursive: true });
  symlinkSync(join(root, "node_modules"), join(folder, "node_modules"));
  const child = spawn(process.execPath, [join(copy, "bin/strat.mjs"), "up", "--json", "--port", "0", "--home", join(folder, "home")], {
    stdio: ["ignore", "pipe", "pipe"],
  });
  let log = "";
  let ended: number | null = null;
  child.stderr.on("data", (chunk: Buffer) => (log = (log + chunk.toString()).slice(-8_000)));
  const closed = new Promise<void>((resolve) => child.on("close", (code) => resolve(void (ended = code ?? 128))));
  try {
    const first = new Promise<string>((resolve) => child.stdout.once("data", (chunk: Buffer) => resolve(chunk.toString())));
    const limit = new Promise<never>((_, reject) => setTimeout(() => reject(new Error("it did not start in time")), startLimitMs).unref());
    const said = await Promise.race([first, closed.then(() => ""), limit]);
    if (said === "") throw new Error("it ended at once");
    const { url } = JSON.parse(said) as { url: string };
    await new Promise((resolve) => setTimeout(resolve, heartbeatLifeMs + 1_000));
    const health = await fetch(`${url}/healthz`);
    const page = await fetch(url).then((answer) => answer.text());
    const script = /src="(\/assets\/[^"]+\.js)"/.exec(page)?.[1];
    if (script === undefined || !(await fetch(url + script)).ok) throw new Error(`it serves no console: ${page.slice(0, 500)}`);
    if (!health.ok || ended !== null) throw new Error(`after ${heartbeatLifeMs} ms it answers ${health.status}`);
  } catch (error) {
    throw new Error(`what was built does not run: ${String(error)}\n${log}`, { cause: error });
  } finally {
    child.kill("SIGTERM");
    await closed;
    rmSync(folder, { recursive: true, force: true });
  }
}

const started = Date.now();
const files = await compile();
await prove();
console.log(`dist/: ${files} files, starts and stays up (${Date.now() - started} ms)`);
