#!/usr/bin/env node
/**
 * Starts any command of this clone on a machine that has nothing but some Node >= 18 and npm: installs the npm packages when they are
 * missing or the lock changed, installs missing Debian packages where the command needs them and this user may, then runs the target on
 * the Node 24 that came with the packages. Safe to repeat; with nothing to do it costs two hashes and a few stats.
 *
 * Plain JavaScript without dependencies on purpose: it runs before there are any. Everything it says goes to stderr, so that stdout
 * belongs to the target (`--json`).
 */
import { existsSync } from "node:fs";
import { spawn } from "node:child_process";
import { constants } from "node:os";
import { delimiter, join } from "node:path";
import { fileURLToPath } from "node:url";
import { commands } from "./commands.mjs";
import { ensureDebianPackages } from "./setup-debian.mjs";
import { ensureNodeModules } from "./setup-npm.mjs";

const root = fileURLToPath(new URL("..", import.meta.url));
const binFolder = join(root, "node_modules", ".bin");

/** The Node that runs the target: the packaged one, or this one when it is new enough. */
function nodeFor() {
  const packaged = join(binFolder, "node");
  if (existsSync(packaged)) return packaged;
  if (Number(process.versions.node.split(".")[0]) >= 24) return process.execPath;
  throw new Error(`Node 24 is missing: the npm package "node" did not install its binary, and this is Node ${process.versions.node}`);
}

/** Replaces this process where Node can (one pid, signals arrive untouched); else runs a child and passes signals on. */
function run(node, args, env) {
  if (typeof process.execve === "function") process.execve(node, [node, ...args], env);
  const child = spawn(node, args, { stdio: "inherit", env });
  for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"]) process.on(signal, () => child.kill(signal));
  child.on("exit", (code, signal) => process.exit(signal === null ? code : 128 + constants.signals[signal]));
}

async function main() {
  const [what = "", ...args] = process.argv.slice(2);
  const command = commands[what];
  if (command === undefined) {
    console.error(`usage: node tools/bootstrap.mjs <${Object.keys(commands).join("|")}> [arguments]`);
    process.exit(2);
  }
  const env = { ...process.env, ...command.env, PATH: `${binFolder}${delimiter}${process.env.PATH ?? ""}` };
  const groups = command.debian?.(args) ?? [];
  // Side by side: one waits for a registry while the other unpacks.
  const [shortcoming] = await Promise.all([groups.length > 0 ? ensureDebianPackages(groups) : null, ensureNodeModules(root)]);
  const fallback = shortcoming === null ? {} : command.without(shortcoming, args);
  Object.assign(env, fallback.env);
  const target = command.target.map((part) => (part.includes("/") ? join(root, part) : part));
  run(nodeFor(), [...target, ...args, ...(fallback.args ?? [])], env);
}

main().catch((error) => {
  console.error(`bootstrap: ${error.message}`);
  process.exit(1);
});
