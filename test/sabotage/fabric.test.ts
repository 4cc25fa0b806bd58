/** The fabric suite is itself under test: each of its tests turns red on a site that breaks what it is about. */
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, expect, test } from "vitest";
import { exec } from "#lib/exec.ts";
import { fabricSabotages } from "./fabric-sabotages.ts";

const root = fileURLToPath(new URL("../..", import.meta.url));
const folder = mkdtempSync(join(tmpdir(), "stratiform-sabotage-"));

interface Report {
  readonly testResults: readonly { readonly assertionResults: readonly { readonly fullName: string; readonly status: string }[] }[];
}

/** Full name to verdict, of every test of every sabotaged site. */
let verdicts: ReadonlyMap<string, string>;

beforeAll(async () => {
  const file = join(folder, "report.json");
  const args = ["node_modules/vitest/vitest.mjs", "run", "--config", "test/sabotage/fabric-fixture.config.ts"];
  const output = ["--reporter=json", `--outputFile=${file}`];
  // The variables of the outer vitest would make the inner one take itself for its worker.
  const env = Object.fromEntries(Object.entries(process.env).filter(([name]) => !name.startsWith("VITEST")));
  await exec(process.execPath, [...args, ...output], { cwd: root, env, okCodes: [0, 1], timeoutMs: 280_000 });
  const report = JSON.parse(readFileSync(file, "utf8")) as Report;
  const results = report.testResults.flatMap((result) => result.assertionResults);
  verdicts = new Map(results.map((result) => [result.fullName, result.status]));
}, 290_000);

afterAll(() => rmSync(folder, { recursive: true }));

const testsOf = (site: string): [string, string][] => {
  const title = `fabric ${site} `;
  return [...verdicts].flatMap(([name, status]): [string, string][] =>
    name.startsWith(title) ? [[name.slice(title.length), status]] : [],
  );
};

test("the healthy site passes every test", () => {
  const tests = testsOf("healthy");
  expect(tests.length).toBeGreaterThan(15);
  expect(tests.filter(([, status]) => status !== "passed")).toEqual([]);
});

test.each(fabricSabotages.map((sabotage) => [sabotage.name, sabotage.red] as const))("%s", (site, red) => {
  const tests = testsOf(site);
  for (const name of red) {
    const found = tests.filter(([full]) => full.startsWith(name));
    expect(found.length, `no test named "${name}"`).toBeGreaterThan(0);
    expect(
      found.map(([, status]) => status),
      `"${name}" did not notice`,
    ).toContain("failed");
  }
});

test("no test of the suite is without a sabotage", () => {
  const red = new Set(
    fabricSabotages.flatMap(({ name }) => testsOf(name).flatMap(([test, status]) => (status === "failed" ? [test] : []))),
  );
  const never = testsOf("healthy").flatMap(([test]) => (red.has(test) ? [] : [test]));
  expect(never).toEqual([]);
});
