/**
 * Installs the Debian packages of tools/packages.mjs that are missing, after saying which and why. It never leaves a service behind:
 * Stratiform starts its own libvirtd and LXD in a namespace of their own, so the packages' services stay stopped and disabled.
 */
import { spawn, spawnSync } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync, createWriteStream } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { debianPackages } from "./packages.mjs";

const policyFile = "/usr/sbin/policy-rc.d";
const policyMark = "# written by Stratiform's bootstrap for the time of one apt-get run";

/** Resolves the one `*` a probe may hold. */
function probeFound(probe) {
  const [before, after] = probe.split("/*/");
  if (after === undefined) return existsSync(probe);
  return existsSync(before) && readdirSync(before).some((folder) => existsSync(join(before, folder, after)));
}

/** Packages of these groups that are not there. */
export function missingPackages(groups) {
  return debianPackages.filter((p) => groups.includes(p.group) && (p.arch ?? process.arch) === process.arch && !p.probe.some(probeFound));
}

function enabledServices() {
  const found = new Set();
  const systemd = "/etc/systemd/system";
  for (const folder of existsSync(systemd) ? readdirSync(systemd) : []) {
    if (folder.endsWith(".wants")) for (const unit of readdirSync(join(systemd, folder))) found.add(unit);
  }
  return found;
}

/** Services the packages enabled for the next boot are disabled again; those that were enabled before stay. */
function disableNewServices(before) {
  if (!existsSync("/run/systemd/system")) return;
  const fresh = [...enabledServices()].filter((unit) => !before.has(unit));
  if (fresh.length === 0) return;
  spawnSync("systemctl", ["disable", "--now", ...fresh], { stdio: "ignore" });
  console.error(`Debian packages: services stay off (${fresh.join(", ")}); Stratiform starts its own`);
}

/** Prints apt's progress: one moving line on a terminal, a line every few seconds elsewhere. */
function progressPrinter() {
  let printedAt = 0;
  let rest = "";
  const terminal = process.stderr.isTTY === true;
  return {
    feed(chunk) {
      rest += chunk;
      const lines = rest.split("\n");
      rest = lines.pop();
      const last = lines.filter((l) => /^(dl|pm)status:/.test(l)).pop();
      if (last === undefined || Date.now() - printedAt < (terminal ? 100 : 3000)) return;
      printedAt = Date.now();
      const [kind, , percent, ...text] = last.split(":");
      const line = `  ${kind === "dlstatus" ? "download" : "install"} ${Number(percent).toFixed(0).padStart(3)} %  ${text.join(":").slice(0, 80)}`;
      process.stderr.write(terminal ? `\r\x1b[K${line}` : `${line}\n`);
    },
    end() {
      if (terminal) process.stderr.write("\r\x1b[K");
    },
  };
}

/** Runs apt-get; its full output is kept in `log` and shown only when it fails. */
function aptGet(args, log) {
  const options = [
    "-y",
    "-q",
    "-o",
    "APT::Status-Fd=3",
    "-o",
    "Dpkg::Use-Pty=0",
    "-o",
    "DPkg::Lock::Timeout=300",
    "-o",
    "Acquire::Retries=3",
  ];
  const env = { ...process.env, DEBIAN_FRONTEND: "noninteractive", RUNLEVEL: "1", NEEDRESTART_SUSPEND: "1", LC_ALL: "C.UTF-8" };
  return new Promise((resolve) => {
    const child = spawn("apt-get", [...options, ...args], { stdio: ["ignore", "pipe", "pipe", "pipe"], env });
    const printer = progressPrinter();
    const out = createWriteStream(log, { flags: "a" });
    child.stdout.pipe(out, { end: false });
    child.stderr.pipe(out, { end: false });
    child.stdio[3].setEncoding("utf8").on("data", (chunk) => printer.feed(chunk));
    // dpkg must not be cut off in the middle: an interrupt is passed to apt-get, which ends in order, and only then do we.
    const pass = (signal) => child.kill(signal);
    process.on("SIGINT", pass);
    process.on("SIGTERM", pass);
    child.on("error", () => resolve(127));
    child.on("close", (code, signal) => {
      process.off("SIGINT", pass);
      process.off("SIGTERM", pass);
      printer.end();
      out.end(() => resolve(signal === null ? code : 128));
    });
  });
}

/** While apt runs, a policy file tells every package not to start its service. A file that was there before stays as it was. */
async function withServicesOff(work) {
  const ours = !existsSync(policyFile) || readFileSync(policyFile, "utf8").includes(policyMark);
  const before = enabledServices();
  if (ours) writeFileSync(policyFile, `#!/bin/sh\n${policyMark}\nexit 101\n`, { mode: 0o755 });
  try {
    return await work();
  } finally {
    if (ours) rmSync(policyFile, { force: true });
    disableNewServices(before);
  }
}

async function install(packages) {
  const folder = mkdtempSync(join(tmpdir(), "stratiform-apt-"));
  const log = join(folder, "apt.log");
  const names = packages.map((p) => p.name);
  const started = Date.now();
  const code = await withServicesOff(async () => {
    const lists = "/var/lib/apt/lists";
    const known = existsSync(lists) && readdirSync(lists).some((f) => f.includes("_Packages"));
    if (!known) await aptGet(["update"], log);
    const first = await aptGet(["install", "--no-install-recommends", ...names], log);
    if (first === 0 || !known) return first;
    // Old package lists name files the mirror no longer has: one update, one more try.
    await aptGet(["update"], log);
    return aptGet(["install", "--no-install-recommends", ...names], log);
  });
  const words = existsSync(log) ? readFileSync(log, "utf8").trim().split("\n") : [];
  rmSync(folder, { recursive: true, force: true });
  if (code === 0) {
    console.error(`Debian packages: done in ${((Date.now() - started) / 1000).toFixed(1)} s`);
    return null;
  }
  const lines = words.filter((l) => /^[EW]:|error/i.test(l)).slice(-5);
  return `apt-get failed (exit ${code}): ${(lines.length > 0 ? lines : words.slice(-3)).join(" | ")}`;
}

/** Null when everything of these groups is usable; else sentences that say exactly what is missing and what to do about it. */
export async function ensureDebianPackages(groups) {
  const missing = missingPackages(groups);
  const isRoot = process.getuid?.() === 0;
  const table = missing.map((p) => `  ${p.name.padEnd(28)} ${p.why}`).join("\n");
  const command = `apt-get install --no-install-recommends ${missing.map((p) => p.name).join(" ")}`;
  if (process.platform !== "linux") return "Real machines need Linux; this is another system.";
  if (!isRoot) {
    const also = missing.length === 0 ? "" : ` Missing Debian packages:\n${table}\nAs root: ${command}`;
    return `Real machines need root on this host (namespaces, bridges, hypervisor); run the command as root.${also}`;
  }
  if (missing.length === 0) return null;
  console.error(`Debian packages: ${missing.length} missing\n${table}`);
  if (!existsSync("/usr/bin/apt-get")) return `This system has no apt-get; missing (by Debian's names):\n${table}`;
  const failure = await install(missing);
  if (failure === null) return null;
  return `${failure}\nMissing:\n${table}\nBy hand: ${command}`;
}
