/** The bootstrap in a small clone of its own, with an `npm` that only writes down that it was called. */
import { spawnSync } from "node:child_process";
import { chmodSync, cpSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";

const tools = new URL(".", import.meta.url).pathname;
let clone = "";

beforeEach(() => {
  clone = mkdtempSync(join(tmpdir(), "stratiform-bootstrap-"));
  mkdirSync(join(clone, "tools"));
  for (const file of ["bootstrap", "commands", "packages", "setup-debian", "setup-npm"])
    cpSync(join(tools, `${file}.mjs`), join(clone, `tools/${file}.mjs`));
  writeFileSync(join(clone, "package-lock.json"), JSON.stringify({ packages: { "": {}, "node_modules/a": { version: "1.0.0" } } }));
  mkdirSync(join(clone, "src/cli"), { recursive: true });
  writeFileSync(
    join(clone, "src/cli/main.ts"),
    `console.log(JSON.stringify(process.argv.slice(2))); process.exit(Number(process.env["EXIT"] ?? 0));`,
  );
  mkdirSync(join(clone, "bin"));
  npmThat(`mkdir -p node_modules/.bin && ln -sf "${process.execPath}" node_modules/.bin/node`);
  chmodSync(clone, 0o755);
});

afterEach(() => rmSync(clone, { recursive: true, force: true }));

function npmThat(does: string): void {
  writeFileSync(join(clone, "bin/npm"), `#!/bin/sh\necho "npm $*" >> calls\n${does}\n`, { mode: 0o755 });
}

function bootstrap(args: readonly string[], options: { env?: Record<string, string>; uid?: number; node?: string } = {}) {
  const { npm_execpath: _, ...env } = process.env;
  const path = `${join(clone, "bin")}:${env["PATH"]}`;
  const identity = options.uid === undefined ? {} : { uid: options.uid, gid: options.uid };
  return spawnSync(options.node ?? process.execPath, [join(clone, "tools/bootstrap.mjs"), ...args], {
    cwd: clone,
    encoding: "utf8",
    env: { ...env, PATH: path, ...options.env },
    ...identity,
  });
}

const npmCalls = () => (existsSync(join(clone, "calls")) ? readFileSync(join(clone, "calls"), "utf8").trim().split("\n") : []);

test("installs once, then runs the target without npm; stdout is the target's alone", () => {
  expect(bootstrap(["strat", "version"])).toMatchObject({ status: 0, stdout: `["version"]\n` });
  expect(bootstrap(["strat", "version"])).toMatchObject({ status: 0, stdout: `["version"]\n`, stderr: "" });
  expect(npmCalls()).toEqual(["npm ci --no-audit --no-fund --loglevel=error"]);
});

test("installs again when the lock changed", () => {
  bootstrap(["strat"]);
  writeFileSync(join(clone, "package-lock.json"), JSON.stringify({ packages: { "": {}, "node_modules/a": { version: "2.0.0" } } }));
  const again = bootstrap(["strat"]);
  expect(again.stderr).toContain("the lock changed");
  expect(npmCalls().length).toBe(2);
});

test("accepts what somebody installed by hand, if it is what the lock says", () => {
  mkdirSync(join(clone, "node_modules/.bin"), { recursive: true });
  symlinkSync(process.execPath, join(clone, "node_modules/.bin/node"));
  writeFileSync(join(clone, "node_modules/.package-lock.json"), JSON.stringify({ packages: { "node_modules/a": { version: "1.0.0" } } }));
  expect(bootstrap(["strat"]).status).toBe(0);
  expect(npmCalls()).toEqual([]);
});

test("a failed installation is an error and is tried again the next time", () => {
  npmThat("mkdir -p node_modules; exit 1");
  const failed = bootstrap(["strat"]);
  expect(failed.status).toBe(1);
  expect(failed.stderr).toContain("npm ci failed");
  npmThat(`mkdir -p node_modules/.bin && ln -sf "${process.execPath}" node_modules/.bin/node`);
  expect(bootstrap(["strat"]).status).toBe(0);
});

test("a lock left by a dead installation does not block", () => {
  mkdirSync(join(clone, ".cache"));
  const dead = spawnSync("true").pid;
  writeFileSync(join(clone, ".cache/bootstrap.lock"), String(dead));
  expect(bootstrap(["strat"]).status).toBe(0);
});

test("the exit code is the target's", () => {
  expect(bootstrap(["strat"], { env: { EXIT: "7" } }).status).toBe(7);
});

test("an unknown command is refused with the list of known ones", () => {
  const result = bootstrap(["nonsense"]);
  expect(result.status).toBe(2);
  expect(result.stderr).toContain("strat|demo");
});

test("somebody who is not root gets the simulated site, and is told why", () => {
  // A copy of Node that everybody may run: the checkout may be in a folder only root can enter.
  const node = join(clone, "node");
  cpSync(process.execPath, node);
  npmThat(`mkdir -p node_modules/.bin && ln -sf "${node}" node_modules/.bin/node`);
  bootstrap(["strat"]);
  const nobody = 65_534;
  const uid = process.getuid?.() === 0 ? { uid: nobody, node } : {};
  const demo = bootstrap(["demo", "--json"], uid);
  expect(demo.stderr).toContain("need root");
  expect(demo.stdout).toBe(`["demo","--json","--site","sim"]\n`);
  expect(bootstrap(["demo", "--site", "sim"], uid)).toMatchObject({ stdout: `["demo","--site","sim"]\n`, stderr: "" });
  expect(bootstrap(["strat", "up"], uid)).toMatchObject({ stdout: `["up"]\n`, stderr: "" });
});
