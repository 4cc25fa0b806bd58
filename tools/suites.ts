/** Runs suites of vitest.config.ts and counts their tests. Shared by `npm test` and `npm run check`. */
import { spawn } from "node:child_process";
import { globSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

export const root = new URL("..", import.meta.url).pathname;

export interface SuiteInfo {
  readonly name: string;
  /** Where its files are; a suite without files is reported, not failed. */
  readonly include: readonly string[];
  readonly exclude: readonly string[];
  /** Part of `npm run check`; the others run in `npm test` and CI. */
  readonly gate: boolean;
  /** Needs root and the Debian packages. */
  readonly needsSite: boolean;
  /** Starts daemons or measures time: one file at a time, longer limits. */
  readonly slow: boolean;
}

const suite = (name: string, include: string[], more: Partial<SuiteInfo> = {}): SuiteInfo => ({
  name,
  include,
  exclude: [],
  gate: true,
  needsSite: false,
  slow: false,
  ...more,
});

/** Every test file belongs to exactly one of these (test/tidy.test.ts). */
export const suites: readonly SuiteInfo[] = [
  suite("tidy", ["test/*.test.ts"]),
  suite("unit", ["src/**/*.test.ts", "tools/**/*.test.ts", "images/**/*.test.ts", "test/support/**/*.test.ts"]),
  suite("sim", ["test/sim/**/*.test.ts", "test/endpoints/sim*.test.ts"]),
  suite("api", ["test/{api,app,engine,store}/**/*.test.ts"]),
  suite("sagas", ["test/sagas/**/*.test.ts"]),
  suite("sabotage", ["test/sabotage/**/*.test.ts"], { gate: false }),
  suite("endpoints", ["test/endpoints/**/*.test.ts"], {
    exclude: ["test/endpoints/sim*.test.ts"],
    gate: false,
    needsSite: true,
    slow: true,
  }),
  suite("e2e", ["test/e2e/**/*.test.ts"], { gate: false, needsSite: true, slow: true }),
  suite("chaos", ["test/chaos/**/*.test.ts"], { exclude: ["test/chaos/real-*.test.ts"], gate: false, slow: true }),
  suite("chaos-real", ["test/chaos/real-*.test.ts"], { gate: false, needsSite: true, slow: true }),
];

/** Files of one suite, from the root of the clone. */
export function suiteFiles({ include, exclude }: SuiteInfo): string[] {
  return globSync([...include], { cwd: root, exclude: ["**/node_modules/**", ...exclude] });
}

export interface Tally {
  readonly passed: number;
  readonly failed: number;
  /** Tests that left themselves out: they need root. */
  readonly skipped: number;
  readonly seconds: number;
}

/** Runs a program with our stdio; resolves with its exit code (128 when a signal ended it). */
export function runProgram(file: string, args: readonly string[], env: NodeJS.ProcessEnv = process.env): Promise<number> {
  return new Promise((resolve, reject) => {
    const child = spawn(file, args, { cwd: root, stdio: "inherit", env });
    child.on("error", reject);
    child.on("close", (code) => resolve(code ?? 128));
  });
}

interface JsonReport {
  readonly numPassedTests: number;
  readonly numFailedTests: number;
  readonly numPendingTests: number;
  readonly numFailedTestSuites: number;
}

/** One vitest run over some suites. A run that crashed, or a file that could not be loaded, counts as a failure. */
export async function runSuites(names: readonly string[], extra: readonly string[] = []): Promise<Tally> {
  const folder = mkdtempSync(join(tmpdir(), "stratiform-suites-"));
  const report = join(folder, "report.json");
  const started = Date.now();
  const projects = names.flatMap((name) => ["--project", name]);
  try {
    const reporters = ["--reporter=default", "--reporter=json", `--outputFile.json=${report}`];
    const code = await runProgram(process.execPath, ["node_modules/vitest/vitest.mjs", "run", ...projects, ...reporters, ...extra]);
    const seconds = (Date.now() - started) / 1000;
    let counts: JsonReport;
    try {
      counts = JSON.parse(readFileSync(report, "utf8")) as JsonReport;
    } catch {
      return { passed: 0, failed: 1, skipped: 0, seconds };
    }
    const failed = Math.max(counts.numFailedTests, counts.numFailedTestSuites > 0 || code !== 0 ? 1 : 0);
    return { passed: counts.numPassedTests, failed, skipped: counts.numPendingTests, seconds };
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/** Last line of every tool that counts; `.ci/run` adds these lines up. */
export function tallyLine(tallies: readonly { passed: number; failed: number }[]): string {
  const sum = (pick: "passed" | "failed") => tallies.reduce((n, t) => n + t[pick], 0);
  return `${sum("passed")} passed, ${sum("failed")} failed`;
}
