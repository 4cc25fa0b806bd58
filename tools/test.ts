/**
 * `npm test`: every suite this machine can run, and in plain words what was not run and why.
 *
 *   npm test                     all but chaos
 *   npm test -- --quick          without daemons
 *   npm test -- --chaos          with chaos
 *   npm test -- --beyond-gate    only what `npm run check` does not run, chaos included
 *   npm test -- unit src/domain  one suite, files whose path contains a text
 */
import { runSuites, suiteFiles, suites, tallyLine, type SuiteInfo, type Tally } from "./suites.ts";

const known = new Set(suites.map((s) => s.name));

interface Choice {
  readonly names: readonly string[];
  readonly skipped: readonly { readonly name: string; readonly why: string }[];
  readonly extra: readonly string[];
}

function choose(args: readonly string[], siteShortcoming: string | undefined): Choice {
  const named = args.filter((a) => known.has(a));
  const extra = args.filter((a) => !known.has(a) && !["--quick", "--chaos", "--beyond-gate"].includes(a));
  const skipped: { name: string; why: string }[] = [];
  const names: string[] = [];
  for (const suite of suites) {
    const why = reasonNotTo(suite, args, named, siteShortcoming);
    if (why === null) names.push(suite.name);
    else if (named.length === 0 || named.includes(suite.name)) skipped.push({ name: suite.name, why });
  }
  return { names, skipped, extra };
}

function reasonNotTo(suite: SuiteInfo, args: readonly string[], named: readonly string[], shortcoming?: string): string | null {
  const { name, needsSite } = suite;
  if (named.length > 0 && !named.includes(name)) return "not asked for";
  if (suiteFiles(suite).length === 0) return "it has no test files";
  const beyondGate = args.includes("--beyond-gate");
  if (beyondGate && suite.gate) return "part of npm run check";
  if (name.startsWith("chaos") && named.length === 0 && !beyondGate && !args.includes("--chaos"))
    return "it kills databases and takes minutes; add --chaos";
  if (needsSite && args.includes("--quick")) return "--quick leaves out what starts daemons";
  if (needsSite && shortcoming !== undefined) return shortcoming;
  return null;
}

async function main(): Promise<void> {
  const args = process.argv.slice(2);
  if (args.includes("--help")) {
    console.log(`npm test -- [--quick] [--chaos] [--beyond-gate] [${[...known].join("|")}] [text in a path] [vitest options]`);
    return;
  }
  const { names, skipped, extra } = choose(args, process.env["STRATIFORM_NO_ENDPOINTS"]);
  const parallel = suites.filter((s) => !s.slow && names.includes(s.name)).map((s) => s.name);
  const groups = [parallel, ...names.filter((n) => !parallel.includes(n)).map((n) => [n])].filter((g) => g.length > 0);
  const lines: string[] = [];
  const tallies: Tally[] = [];
  for (const group of groups) {
    const tally = await runSuites(group, extra);
    tallies.push(tally);
    const result = `${String(tally.passed).padStart(5)} passed ${String(tally.failed).padStart(3)} failed`;
    lines.push(`${group.join(" + ").padEnd(30)} ${result} ${tally.seconds.toFixed(1).padStart(7)} s`);
  }
  console.log(`\n${lines.join("\n")}`);
  const leftOut = tallies.reduce((n, t) => n + t.skipped, 0);
  if (leftOut > 0) console.log(`NOT RUN: ${leftOut} single tests: they need root, or their file failed before them`);
  for (const { name, why } of skipped) console.log(`NOT RUN: ${name}: ${why}`);
  console.log(tallyLine(tallies));
  // A named suite that could not run is a failure: somebody asked for it.
  const askedInVain = skipped.some((s) => args.includes(s.name));
  process.exitCode = tallies.some((t) => t.failed > 0) || tallies.length === 0 || askedInVain ? 1 : 0;
}

await main();
