/**
 * `npm run check`: the gate. Every change passes exactly this before it is committed, and CI runs it too. It goes on after a failure, so
 * that one run tells everything. `npm run check -- lint types` runs only those.
 */
import { runProgram, runSuites, suiteFiles, suites, tallyLine } from "./suites.ts";
import { staleGenerated } from "./generate.ts";

interface Phase {
  readonly name: string;
  run(): Promise<{ passed: number; failed: number }>;
}

const node = process.execPath;

/** A phase that is one program: it passes when the program exits with 0. */
function program(name: string, ...args: readonly string[]): Phase {
  return { name, run: async () => ((await runProgram(node, args)) === 0 ? { passed: 1, failed: 0 } : { passed: 0, failed: 1 }) };
}

const phases: readonly Phase[] = [
  program("format", "node_modules/oxfmt/bin/oxfmt", "--check", "."),
  program("lint", "node_modules/oxlint/bin/oxlint", "--deny-warnings"),
  program("types", "node_modules/typescript-7/bin/tsc", "-p", "."),
  // The console runs in a browser: other globals, and JSX.
  program("types-web", "node_modules/typescript-7/bin/tsc", "-p", "src/web"),
  { name: "tidy", run: () => runSuites(["tidy"]) },
  program("knip", "node_modules/knip/bin/knip.js"),
  { name: "generated", run: generatedFiles },
  { name: "tests", run: () => runSuites(gateSuites()) },
  program("build", "tools/build.ts"),
];

/** Tidy is a phase of its own; a suite without files would fail the run. */
function gateSuites(): string[] {
  return suites.filter((s) => s.gate && s.name !== "tidy" && suiteFiles(s).length > 0).map((s) => s.name);
}

async function generatedFiles(): Promise<{ passed: number; failed: number }> {
  const stale = await staleGenerated();
  for (const file of stale) console.error(`${file} is not what its generator makes: run npm run generate`);
  return stale.length === 0 ? { passed: 1, failed: 0 } : { passed: 0, failed: stale.length };
}

async function main(): Promise<void> {
  const wanted = process.argv.slice(2);
  const names = phases.map((p) => p.name);
  const unknown = wanted.filter((w) => !names.includes(w));
  if (unknown.length > 0) {
    console.log(`npm run check -- [${names.join("|")}]...`);
    process.exitCode = wanted.includes("--help") ? 0 : 2;
    return;
  }
  const results: { name: string; passed: number; failed: number; seconds: number }[] = [];
  for (const phase of phases) {
    if (wanted.length > 0 && !wanted.includes(phase.name)) continue;
    console.log(`\n== ${phase.name}`);
    const started = Date.now();
    const result = await phase.run();
    results.push({ name: phase.name, ...result, seconds: (Date.now() - started) / 1000 });
  }
  console.log("");
  for (const r of results)
    console.log(`${r.name.padEnd(10)} ${r.failed === 0 ? "ok    " : "FAILED"} ${r.seconds.toFixed(1).padStart(7)} s`);
  console.log(tallyLine(results));
  process.exitCode = results.some((r) => r.failed > 0) ? 1 : 0;
}

await main();
