/**
 * Proves the promise "a bare Debian with Node is enough": makes a minimal Debian in a temporary folder, binds this machine's Node and npm
 * into it read-only, clones the tree at HEAD, and runs the commands of a first-time user there. Everything lives in namespaces of its own
 * (mounts, processes, names, network, control groups), so it dies as a whole and nothing of it can touch or use this machine's things.
 *
 * How this machine reaches its package registries is ordinary client configuration (apt sources and options, npm settings, proxies,
 * certificates); exactly that is carried across at run time, and none of it is in the tree.
 *
 *   node tools/fresh-machine.ts [--keep] [--working-tree] [--suite Debian-codename] [-- command]     default: what a first-time user does
 */
import { spawn, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import {
  copyFileSync,
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  readdirSync,
  readlinkSync,
  realpathSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { delimiter, dirname, join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { cgroupSubtree } from "./fresh-machine-cgroup.ts";
import { uplink } from "./fresh-machine-network.ts";
import { output, outputLines } from "./program.ts";
import { root as clone, tallyLine } from "./suites.ts";

const init = join(clone, "tools/fresh-machine-init.sh");

interface Phase {
  readonly name: string;
  readonly command: string;
}

const firstTimeUser: readonly Phase[] = [
  { name: "demo", command: "npm run -s demo -- --json" },
  { name: "demo again", command: "npm run -s demo -- --json" },
  { name: "down, and the demo with cached images", command: "npm run -s demo -- --down && npm run -s demo -- --json" },
  { name: "purge", command: "npm run -s demo -- --purge && test ! -e /var/lib/stratiform" },
  { name: "nothing left", command: "npm run -s nothing-left" },
  { name: "test", command: "npm test -- tidy unit sim" },
];

/** Undone in reverse order, whatever happened; one failing does not keep the others from running. */
const undo: { what: string; run: () => void | Promise<void> }[] = [];

async function cleanUp(): Promise<boolean> {
  let clean = true;
  for (const { what, run } of undo.splice(0).toReversed()) {
    try {
      await run();
    } catch (error) {
      clean = false;
      console.error(`cannot undo ${what}: ${(error as Error).message}`);
    }
  }
  return clean;
}

/** This machine's own Node, not the one of node_modules: that is what the fresh machine has. */
function machineNode(): { node: string; npm: string } {
  for (const folder of (process.env["PATH"] ?? "").split(delimiter)) {
    if (folder.includes("node_modules") || !existsSync(join(folder, "node")) || !existsSync(join(folder, "npm"))) continue;
    return { node: realpathSync(join(folder, "node")), npm: dirname(dirname(realpathSync(join(folder, "npm")))) };
  }
  throw new Error("no node and npm on the PATH outside node_modules");
}

/** Package sources of this suite only: others' may need what a bare machine does not have. */
function aptSources(suite: string): string {
  const folder = "/etc/apt/sources.list.d";
  const files = ["/etc/apt/sources.list", ...(existsSync(folder) ? readdirSync(folder).map((f) => join(folder, f)) : [])];
  const texts = files.filter((f) => existsSync(f)).map((f) => ({ deb822: f.endsWith(".sources"), text: readFileSync(f, "utf8") }));
  const plain = texts
    .filter((t) => !t.deb822)
    .flatMap((t) => t.text.split("\n").filter((l) => new RegExp(`^deb\\s.*\\s${suite}(-\\w+)?\\s`).test(l)));
  const stanzas = texts
    .filter((t) => t.deb822)
    .flatMap((t) => t.text.split(/\n\s*\n/))
    .map((s) =>
      s
        .split("\n")
        .filter((l) => !l.startsWith("#"))
        .join("\n")
        .trim(),
    )
    .filter((s) => new RegExp(`^Suites:.*\\b${suite}\\b`, "m").test(s));
  // Without sources of its own mmdebstrap takes its built-in default.
  return [plain.join("\n"), ...stanzas].filter((t) => t !== "").join("\n\n");
}

/** apt's own settings for reaching a mirror: proxies, certificates, tolerance for old release files. */
function aptOptions(): string[] {
  return outputLines("apt-config", ["dump"]).filter(
    (l) => /^Acquire::(http|https|Retries|Check-Valid-Until|Check-Date|ForceIPv)/.test(l) && !l.endsWith(` "";`),
  );
}

/** npm's settings for reaching its registry, as environment: HOME is empty in the fresh machine. */
function npmEnvironment(): Record<string, string> {
  const keys = ["registry", "cafile", "proxy", "https-proxy", "noproxy", "strict-ssl"];
  const settings = JSON.parse(output("npm", ["config", "list", "--json"])) as Record<string, unknown>;
  const found = keys.map((key) => [`npm_config_${key.replaceAll("-", "_")}`, settings[key]] as const);
  return Object.fromEntries(found.filter(([, v]) => v !== null && v !== undefined && v !== "").map(([k, v]) => [k, String(v)]));
}

function carriedEnvironment(): Record<string, string> {
  const names = Object.keys(process.env).filter((n) => /^(https?|no|all)_proxy$/i.test(n) || n === "NODE_EXTRA_CA_CERTS");
  return { ...Object.fromEntries(names.map((n) => [n, process.env[n]!])), ...npmEnvironment() };
}

async function makeDebian(folder: string, suite: string): Promise<void> {
  const sources = aptSources(suite);
  const options = aptOptions().map((o) => `--aptopt=${o}`);
  const args = ["--variant=minbase", "--quiet", ...options, suite, folder, ...(sources === "" ? [] : ["-"])];
  const child = spawn("mmdebstrap", args, { stdio: ["pipe", "inherit", "inherit"] });
  undo.push({ what: "mmdebstrap", run: () => void child.kill("SIGKILL") });
  child.stdin.end(sources);
  const [code] = (await once(child, "close")) as [number | null];
  if (code !== 0) throw new Error(`mmdebstrap ended with ${code}`);
  writeFileSync(join(folder, "etc/apt/apt.conf.d/99carried"), aptOptions().join("\n"));
}

/** The clone of HEAD is what somebody else would get; `--working-tree` is for trying what is not committed yet. */
function takeTree(target: string): void {
  if (!process.argv.includes("--working-tree")) return void output("git", ["clone", "--quiet", "--no-hardlinks", clone, target]);
  const files = output("git", ["-C", clone, "ls-files", "-z", "--cached", "--others", "--exclude-standard"]).split("\0");
  for (const file of new Set(files)) if (file !== "" && existsSync(join(clone, file))) cpSync(join(clone, file), join(target, file));
}

/** Certificates and name resolution of this machine, the clone, an empty home, and what to run. */
function furnish(folder: string, phases: readonly Phase[], environment: Record<string, string>): void {
  for (const file of ["/etc/resolv.conf", "/etc/hosts"]) if (existsSync(file)) copyFileSync(file, join(folder, file));
  mkdirSync(join(folder, "fresh/home"), { recursive: true });
  mkdirSync(join(folder, "fresh/old"));
  takeTree(join(folder, "fresh/stratiform"));
  const quote = (text: string) => `'${text.replaceAll("'", `'\\''`)}'`;
  // In a place of their own: the package ca-certificates, installed in there, makes /etc/ssl/certs anew.
  for (const name of ["npm_config_cafile", "NODE_EXTRA_CA_CERTS"]) {
    const file = environment[name];
    if (file === undefined || !existsSync(file)) continue;
    copyFileSync(file, join(folder, "fresh", `${name}.pem`));
    environment[name] = `/fresh/${name}.pem`;
  }
  const exports = Object.entries(environment).map(([k, v]) => `export ${k}=${quote(v)}\n`);
  writeFileSync(join(folder, "fresh/environment"), exports.join(""));
  writeFileSync(join(folder, "fresh/phases"), phases.map((p) => `phase ${quote(p.name)} ${quote(p.command)}\n`).join(""));
}

/** Names of installed packages, from dpkg's own file. */
function installed(folder: string): string[] {
  const status = readFileSync(join(folder, "var/lib/dpkg/status"), "utf8");
  return status
    .split("\n\n")
    .filter((s) => /^Status: .* installed$/m.test(s))
    .map((s) => /^Package: (.*)$/m.exec(s)?.[1] ?? "")
    .toSorted();
}

/** Starts the namespaces; `ready` must be written before the first phase runs (the network is attached from outside). */
async function startInside(folder: string, groups: string): Promise<ChildProcess> {
  const { node, npm } = machineNode();
  const namespaces = ["--mount", "--propagation=private", "--pid", "--fork", "--kill-child", "--net", "--uts", "--ipc", "--cgroup"];
  const environment = { PATH: process.env["PATH"] ?? "", FRESH_ROOT: folder, FRESH_NODE: node, FRESH_NPM: npm, FRESH_CGROUPS: groups };
  // Dies with this process even when that is killed outright; everything inside dies with it.
  const child = spawn("setpriv", ["--pdeathsig", "KILL", "sh", init, "outer", ...namespaces], {
    stdio: ["ignore", "inherit", "inherit"],
    env: environment,
  });
  const own = readlinkSync("/proc/self/ns/net");
  for (const until = Date.now() + 10_000; ; await sleep(20)) {
    if (child.exitCode !== null || Date.now() > until) throw new Error("the namespaces did not start");
    if (existsSync(`/proc/${child.pid}/ns/net`) && readlinkSync(`/proc/${child.pid}/ns/net`) !== own) return child;
  }
}

async function main(): Promise<void> {
  const args = process.argv.slice(2);
  const split = args.indexOf("--");
  const phases = split === -1 ? firstTimeUser : [{ name: "command", command: args.slice(split + 1).join(" ") }];
  const suiteAt = args.indexOf("--suite");
  const suite =
    suiteAt === -1 ? (/^VERSION_CODENAME=(.*)$/m.exec(readFileSync("/etc/os-release", "utf8"))?.[1] ?? "bookworm") : args[suiteAt + 1]!;
  if (process.getuid?.() !== 0) throw new Error("needs root: namespaces and a root folder with devices");

  const temporary = mkdtempSync(join(tmpdir(), "stratiform-fresh-"));
  const folder = join(temporary, "root");
  if (!args.includes("--keep")) undo.push({ what: "the folder", run: () => rmSync(temporary, { recursive: true, force: true }) });
  const started = Date.now();
  await makeDebian(folder, suite);
  console.log(`fresh machine: ${suite} made in ${((Date.now() - started) / 1000).toFixed(1)} s`);
  const before = installed(folder);
  furnish(folder, phases, carriedEnvironment());

  const groups = cgroupSubtree(`stratiform-fresh-${process.pid}`);
  undo.push({ what: "control groups", run: groups.remove });
  const child = await startInside(folder, groups.list);
  const ended = once(child, "exit") as Promise<[number | null, string | null]>;
  undo.push({
    what: "processes",
    run: async () => {
      child.kill("SIGKILL");
      await ended;
    },
  });
  const network = uplink(child.pid!);
  undo.push({ what: "network", run: network.remove });
  writeFileSync(join(folder, "fresh/network"), network.inside);
  const [code] = await ended;

  const after = installed(folder);
  const added = after.filter((name) => !before.includes(name));
  console.log(`fresh machine: ${before.length} packages at first, ${added.length} added: ${added.join(" ")}`);
  report(folder, phases, code);
}

/** One line a phase, and the tally that `.ci/run` adds up. */
function report(folder: string, phases: readonly Phase[], code: number | null): void {
  const file = join(folder, "fresh/results");
  const lines = existsSync(file) ? readFileSync(file, "utf8").trim().split("\n") : [];
  const results = lines.map((l) => l.split("\t")).map(([seconds, exit, name]) => ({ name, exit: Number(exit), seconds: Number(seconds) }));
  for (const r of results) console.log(`fresh machine: ${r.name}: ${r.exit === 0 ? "ok" : `exit ${r.exit}`} in ${r.seconds} s`);
  const passed = results.filter((r) => r.exit === 0).length;
  console.log(tallyLine([{ passed, failed: phases.length - passed }]));
  process.exitCode = passed === phases.length && code === 0 ? 0 : 1;
}

for (const signal of ["SIGINT", "SIGTERM"] as const) {
  process.once(signal, () => {
    void cleanUp().then(() => process.exit(130));
  });
}
try {
  await main();
} catch (error) {
  console.error(`fresh machine: ${(error as Error).message}`);
  process.exitCode = 1;
} finally {
  if (!(await cleanUp())) process.exitCode = 1;
}
