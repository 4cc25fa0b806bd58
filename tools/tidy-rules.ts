/**
 * House rules a machine can check and oxlint cannot: names, the real import graph, where words may occur, which tests must exist. Pure:
 * a rule takes the files of the tree and returns sentences. `test/tidy.test.ts` runs each rule on a planted violation and on the tree.
 */
import ts from "typescript";
import { importRefusal, pureLayers, layerOf, restrictedPackages } from "./layers.ts";

export interface SourceFile {
  /** From the root of the clone, with `/`. */
  readonly path: string;
  readonly text: string;
}

export type Rule = (files: readonly SourceFile[]) => string[];

const maxFileLines = 500;

const isCode = (f: SourceFile) => /\.(ts|tsx|mjs)$/.test(f.path);
const isSource = (f: SourceFile) => isCode(f) && f.path.startsWith("src/");
const isGenerated = (f: SourceFile) => f.path.includes(".generated.");

/** 1-based lines of `text` that match, for messages. */
function matchingLines(text: string, pattern: RegExp): number[] {
  return text.split("\n").flatMap((line, i) => (pattern.test(line) ? [i + 1] : []));
}

/** What a file imports, in every spelling: static, dynamic, re-export, type import. */
export function importSpecifiers(file: SourceFile): string[] {
  return ts.preProcessFile(file.text, true, true).importedFiles.map((i) => i.fileName);
}

/** Path below `src/` an import leads to; null when it leaves `src/` or is a package. */
function targetOf(from: string, specifier: string): string | null {
  if (specifier.startsWith("#")) return specifier.slice(1);
  if (!specifier.startsWith(".")) return null;
  const url = new URL(specifier, `file:///${from}`).pathname.slice(1);
  return url.startsWith("src/") ? url.slice("src/".length) : null;
}

/** Layers: see tools/layers.ts. */
export const layerRule: Rule = (files) =>
  files.filter(isSource).flatMap((file) => {
    const from = file.path.slice("src/".length);
    const test = from.endsWith(".test.ts");
    return importSpecifiers(file).flatMap((specifier) => {
      const to = targetOf(file.path, specifier);
      if (to !== null) {
        const refusal = importRefusal(from, to);
        return refusal === null ? [] : [`${file.path}: imports ${specifier}: ${refusal}`];
      }
      if (specifier.startsWith(".")) return test ? [] : [`${file.path}: imports ${specifier}: it leaves src/`];
      return packageRefusal(from, specifier, test).map((why) => `${file.path}: imports ${specifier}: ${why}`);
    });
  });

function packageRefusal(from: string, specifier: string, test: boolean): string[] {
  const layer = layerOf(from)?.layer.path.replace("/*", "") ?? "";
  if (test || layer === "main.ts") return [];
  const refusals = restrictedPackages.filter((p) => new RegExp(p.pattern).test(specifier) && !p.only.includes(layer)).map((p) => p.why);
  if (pureLayers.includes(layer) && specifier.startsWith("node:")) refusals.push("domain has no I/O, clock or randomness");
  return refusals;
}

/** Own files are named with their suffix, other layers by `#`. */
export const specifierRule: Rule = (files) =>
  files
    .filter((f) => isCode(f) && !isGenerated(f))
    .flatMap((file) =>
      importSpecifiers(file).flatMap((specifier) => {
        const own = specifier.startsWith("#") || specifier.startsWith(".");
        if (own && !/\.(ts|tsx|mjs|json|css)$/.test(specifier)) return [`${file.path}: imports ${specifier} without its suffix`];
        const to = targetOf(file.path, specifier);
        if (to === null || !specifier.startsWith(".") || !file.path.startsWith("src/")) return [];
        const crosses = layerOf(to)?.name !== layerOf(file.path.slice("src/".length))?.name;
        return crosses ? [`${file.path}: imports ${specifier}: write #${to}`] : [];
      }),
    );

/** kebab-case; no names that say nothing; no barrels. PascalCase only for React components. */
export const nameRule: Rule = (files) =>
  files
    .filter((f) => isCode(f) || f.path.endsWith(".sql"))
    .flatMap(({ path }) => {
      const name = path.split("/").pop()!;
      const stem = name.split(".")[0]!;
      const found: string[] = [];
      const component = path.endsWith(".tsx") && /^[A-Z][A-Za-z0-9]*$/.test(stem);
      if (!/^[a-z0-9]+(-[a-z0-9]+)*$/.test(stem) && !component) found.push(`${path}: file names are kebab-case`);
      const empty = path.split(/[/.-]/).find((word) => /^(utils?|helpers?|managers?|misc|common)$/i.test(word));
      if (empty !== undefined && path.startsWith("src/")) found.push(`${path}: "${empty}" says nothing; name what it holds`);
      if (stem === "index") found.push(`${path}: no barrels; import the file that has it`);
      return found;
    });

export const lengthRule: Rule = (files) =>
  files
    .filter((f) => isCode(f) && !isGenerated(f))
    .map((f) => ({ path: f.path, lines: f.text.split("\n").length - 1 }))
    .filter(({ lines }) => lines > maxFileLines)
    .map(({ path, lines }) => `${path}: ${lines} lines, the limit is ${maxFileLines}`);

/** Nothing is skipped, focused or repeated until it passes. The one condition allowed is `runIf(isRoot)`; `npm test` counts what it left out. */
export const honestTestRule: Rule = (files) =>
  files
    .filter((f) => f.path.endsWith(".test.ts") || f.path.includes("conformance"))
    .flatMap((file) => {
      const lines = file.text.split("\n");
      return lines.flatMap((line, i) => {
        const found = /\b(?:test|it|describe|suite)\b[\w.]*\.(only|skip|todo|fails|runIf\((?!isRoot\))|skipIf)|\bretry:\s*[1-9]/.exec(line);
        return found === null ? [] : [`${file.path}:${i + 1}: ${found[0]}: every test runs, once`];
      });
    });

/** The core knows no application, and only storage knows its database. */
export function postgresRule(allowed: readonly string[]): Rule {
  return (files) =>
    files
      .filter((f) => isSource(f) && !f.path.endsWith(".test.ts") && !allowed.some((prefix) => f.path.startsWith(prefix)))
      .flatMap((f) => matchingLines(f.text, /postgres/i).map((line) => `${f.path}:${line}: "postgres" belongs in ${allowed.join(", ")}`));
}

// Spelled in pieces, so that this file does not break its own rule.
const registryHosts = [
  ["registry", "npmjs"],
  ["npmjs", "org"],
  ["deb", "debian", "org"],
  ["security", "debian"],
  ["snapshot", "debian"],
  ["proxy", "golang"],
];
const hostPattern = new RegExp(registryHosts.map((parts) => parts.join("\\.")).join("|"));
const machinePattern = new RegExp(`(^|[\\s"'\`(=:])/(${["wo" + "rk", "ho" + "me/[a-z]"].join("|")})/`);

/** Nothing in the tree depends on one machine or names a registry: the machine's own client configuration says where packages come from. */
export const placeRule: Rule = (files) =>
  files.flatMap((f) => [
    ...matchingLines(f.text, hostPattern).map((line) => `${f.path}:${line}: names a registry host`),
    ...matchingLines(f.text, machinePattern).map((line) => `${f.path}:${line}: names a path of one machine`),
  ]);

export const todoRule: Rule = (files) =>
  files
    .filter((f) => isCode(f) || /\.(sh|md|yaml)$/.test(f.path))
    .flatMap((f) =>
      // A note without an issue is a wish.
      matchingLines(f.text, new RegExp(`\\b(${"TO" + "DO"}|${"FIX" + "ME"}|X{3})\\b(?!\\(#\\d+\\))`)).map(
        (line) => `${f.path}:${line}: a note needs an issue number, like (#12)`,
      ),
    );

/** A built-in process without a saga test, or a provider or fabric that no file runs through its conformance suite, is not finished. */
export const requiredTestRule: Rule = (files) => {
  const tests = files.filter((f) => f.path.endsWith(".test.ts"));
  const processFiles = files.filter(
    (f) => /^src\/processes\/[^/]+\.ts$/.test(f.path) && !f.path.endsWith(".test.ts") && /: ProcessDefinition\b/.test(f.text),
  );
  const sagaTests = tests.filter((f) => f.path.startsWith("test/sagas/"));
  const missing = processFiles
    .filter((p) => !sagaTests.some((t) => t.text.includes(`#${p.path.slice("src/".length)}`)))
    .map((p) => `${p.path}: no file in test/sagas imports it`);
  for (const [folder, contract] of [
    ["providers", "provider"],
    ["fabrics", "fabric"],
  ] as const) {
    const kinds = new Set(files.filter((f) => f.path.startsWith(`src/${folder}/`)).map((f) => f.path.split("/")[2]!));
    for (const kind of kinds) {
      const runs = (t: SourceFile) => {
        const imports = importSpecifiers(t);
        return (
          imports.some((i) => i.includes(`${contract}/conformance`)) &&
          (imports.some((i) => i.includes(`${folder}/${kind}/`)) || t.path.startsWith(`src/${folder}/${kind}/`))
        );
      };
      if (!tests.some(runs)) missing.push(`src/${folder}/${kind}: no test runs the conformance suite of ${contract} with it`);
    }
  }
  return missing;
};
