/**
 * `npm run nothing-left`: photographs this host, runs the whole product once (up with a real site, order, down), photographs it again, and
 * fails with every line that differs. Files are looked for in every folder a program may leave something in; what the product is meant to
 * keep (its cache of images and packages) is named here and nowhere else.
 *
 *   npm run nothing-left [-- command]      default: the demo twice, then its removal, in a home of its own
 */
import { spawnSync } from "node:child_process";
import { chmodSync, existsSync, mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { worldDifference, worldSnapshot, type World } from "../test/support/world.ts";
import { root, tallyLine } from "./suites.ts";

/** Where daemons and package scripts keep state. The temporary folder of the run is inside /tmp. */
const folders = ["/etc", "/run", "/var/lib", "/var/log", "/tmp", "/var/tmp", "/dev/shm", "/root", "/home", "/opt", "/srv"];

/**
 * Other programs of a living machine write and start at any time: homes, temporary folders and processes are searched for what this
 * product, its daemons or its guests could have left. Everything else on the host must be as it was, whoever did it.
 */
const others = /^[+-] (files: \/(root|home|tmp|var\/tmp)\/|processes: )/;
const ofThisProduct = /strat|libvirt|lxd|lxc|qemu|postgres|node|unshare|nsenter|sleep|init$|busybox|httpd/i;

/** Kept on purpose, or written by the machine itself. */
const kept = [
  / \/run\/(user|lock|systemd|udev|log)\//,
  / \/var\/(log|lib)\/(apt|dpkg|journal|systemd)\//,
  / \/tmp\/(\.X11-unix|node-compile-cache)/,
];

/** A stopped daemon's last threads and control groups take the kernel a moment. */
const settleLimitMs = 15_000;

function photograph(run: string): World {
  const world = worldSnapshot({ folders });
  return { ...world, files: (world["files"] ?? []).filter((path) => !path.startsWith(run)) };
}

function differences(before: World, run: string): string[] {
  return worldDifference(before, photograph(run)).filter(
    (line) => !kept.some((pattern) => pattern.test(line)) && (!others.test(line) || ofThisProduct.test(line)),
  );
}

async function settled(before: World, run: string): Promise<string[]> {
  const until = Date.now() + settleLimitMs;
  for (;;) {
    const left = differences(before, run);
    if (left.length === 0 || Date.now() > until) return left;
    await sleep(500);
  }
}

const args = process.argv.slice(2);
const shortcoming = process.env["STRATIFORM_NO_ENDPOINTS"];
if (shortcoming !== undefined) {
  console.error(`nothing-left needs the real site: ${shortcoming}`);
  process.exit(1);
}
const demo = (...options: string[]) => ["npm", "run", "-s", "demo", "--", "--offering", "tiny", ...options];
const commands = args.length > 0 ? [args] : [demo("--json"), demo("--json"), demo("--purge")];
// A short name: paths of sockets below it are limited to 107 bytes.
const run = mkdtempSync(join(tmpdir(), "strat-left-"));
// Containers run as other users and must get through to their files.
chmodSync(run, 0o755);
const home = join(run, "home");
const before = photograph(run);
let failed = 0;
try {
  for (const [file, ...rest] of commands) {
    const started = Date.now();
    const { status } = spawnSync(file!, rest, { cwd: root, stdio: "inherit", env: { ...process.env, STRATIFORM_HOME: home } });
    console.log(`nothing-left: ${[file, ...rest].join(" ")} ended with ${status} in ${((Date.now() - started) / 1000).toFixed(1)} s`);
    if (status !== 0) failed++;
  }
  const left = await settled(before, run);
  if (existsSync(home)) left.push(`+ files: ${home}/ with ${readdirSync(home).join(", ")}`);
  for (const line of left) console.log(`nothing-left: ${line}`);
  if (left.length > 0) failed++;
} finally {
  rmSync(run, { recursive: true, force: true });
}
console.log(tallyLine([{ passed: failed === 0 ? 1 : 0, failed }]));
process.exitCode = failed === 0 ? 0 : 1;
