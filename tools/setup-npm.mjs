/** Brings node_modules to what package-lock.json says, and does nothing (no network, no npm) when it is there already. */
import { createHash } from "node:crypto";
import { spawn } from "node:child_process";
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { delimiter, join } from "node:path";

const lockWaitMs = 10 * 60_000;

/** What the installation depends on: the lock and the platform. */
function fingerprint(root) {
  return createHash("sha256")
    .update(readFileSync(join(root, "package-lock.json")))
    .update(`${process.platform} ${process.arch}`)
    .digest("hex");
}

/** True when npm's own record of what it installed agrees with the lock: somebody ran `npm ci` by hand. */
function installedByHand(root) {
  const hidden = join(root, "node_modules", ".package-lock.json");
  if (!existsSync(hidden)) return false;
  const wanted = JSON.parse(readFileSync(join(root, "package-lock.json"), "utf8")).packages;
  const present = JSON.parse(readFileSync(hidden, "utf8")).packages;
  return Object.entries(wanted).every(
    ([path, entry]) => path === "" || (present[path] ? present[path].version === entry.version : entry.optional === true),
  );
}

/** One installation at a time: a second clone command waits for the first and then finds the work done. */
async function underLock(root, work) {
  const lock = join(root, ".cache", "bootstrap.lock");
  mkdirSync(join(root, ".cache"), { recursive: true });
  const until = Date.now() + lockWaitMs;
  for (;;) {
    try {
      writeFileSync(lock, String(process.pid), { flag: "wx" });
      break;
    } catch (error) {
      if (error.code !== "EEXIST") throw error;
      const holder = Number(readFileSync(lock, "utf8") || "0");
      if (holder > 0 && !existsSync(`/proc/${holder}`) && existsSync("/proc/self")) rmSync(lock, { force: true });
      else if (Date.now() > until)
        throw new Error(`another installation has been running for ten minutes; if it is dead, remove ${lock}`, { cause: error });
      else await new Promise((resolve) => setTimeout(resolve, 200));
    }
  }
  try {
    return await work();
  } finally {
    rmSync(lock, { force: true });
  }
}

/** `npm ci` with the npm that started us, its own Node, and none of the old packages on the PATH: they are deleted meanwhile. */
function npmCi(root) {
  const path = (process.env.PATH ?? "").split(delimiter).filter((folder) => !folder.startsWith(join(root, "node_modules")));
  const env = { ...process.env, PATH: path.join(delimiter) };
  const script = process.env.npm_execpath;
  const node = process.env.npm_node_execpath;
  const [file, ...first] = script?.endsWith(".js") && node && !node.startsWith(root) ? [node, script] : ["npm"];
  return new Promise((resolve, reject) => {
    const child = spawn(file, [...first, "ci", "--no-audit", "--no-fund", "--loglevel=error"], { cwd: root, env, stdio: ["ignore", 2, 2] });
    child.on("error", (error) => reject(new Error(`cannot run npm: ${error.message}`)));
    child.on("close", (code) => (code === 0 ? resolve() : reject(new Error("npm ci failed; its own words are above"))));
  });
}

export async function ensureNodeModules(root) {
  const stamp = join(root, "node_modules", ".stratiform-stamp");
  const wanted = fingerprint(root);
  const fits = () => existsSync(stamp) && readFileSync(stamp, "utf8") === wanted;
  if (fits()) return;
  await underLock(root, async () => {
    if (fits()) return;
    if (!installedByHand(root)) {
      const started = Date.now();
      console.error(existsSync(stamp) ? "npm packages: the lock changed, installing" : "npm packages: installing (once)");
      await npmCi(root);
      console.error(`npm packages: done in ${((Date.now() - started) / 1000).toFixed(1)} s`);
    }
    writeFileSync(stamp, wanted);
  });
}
