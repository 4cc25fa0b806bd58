/**
 * `npm run build`: bundles the command line (which holds the server, too) into dist/strat.mjs, and proves that the bundle starts. Packages
 * stay outside the bundle: they carry binaries and WebAssembly that a bundler would break.
 */
import { execFileSync } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { build } from "esbuild";
import { root } from "./suites.ts";

const entry = join(root, "src/cli/main.ts");
const bundle = join(root, "dist/strat.mjs");
const startLimitMs = 20_000;

if (!existsSync(entry)) {
  console.error("src/cli/main.ts is missing: there is nothing to build");
  process.exit(1);
}
const started = Date.now();
await build({
  entryPoints: [entry],
  outfile: bundle,
  bundle: true,
  platform: "node",
  target: "node24",
  format: "esm",
  packages: "external",
  sourcemap: true,
  logLevel: "warning",
});
const { version } = JSON.parse(readFileSync(join(root, "package.json"), "utf8")) as { version: string };
const said = execFileSync(process.execPath, [bundle, "--version"], { encoding: "utf8", timeout: startLimitMs }).trim();
if (!said.includes(version)) {
  console.error(`the bundle says "${said}" for --version, the package is ${version}`);
  process.exit(1);
}
console.log(`dist/strat.mjs starts and is version ${version} (${Date.now() - started} ms)`);
