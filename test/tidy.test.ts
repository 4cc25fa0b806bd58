/** Style enforced by a test: each rule of tools/tidy-rules.ts on a planted violation, then all of them on the tree. */
import { readFileSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { importRefusal, layerOf, layers } from "../tools/layers.ts";
import { suiteFiles, suites } from "../tools/suites.ts";
import * as rules from "../tools/tidy-rules.ts";
import type { Rule, SourceFile } from "../tools/tidy-rules.ts";

const root = new URL("..", import.meta.url).pathname;

/** Where the word may occur: storage, durable runs, and the launcher of the embedded database. */
const postgresPlaces = ["src/store/", "src/engine/", "src/cli/local/", "src/testing/", "src/main.ts"];

const planted: readonly { readonly rule: Rule; readonly file: SourceFile; readonly says: string }[] = [
  { rule: rules.layerRule, file: { path: "src/domain/a.ts", text: `import { x } from "#store/x.ts";` }, says: "must not import store" },
  { rule: rules.layerRule, file: { path: "src/api/a.ts", text: `const x = await import("#store/x.ts");` }, says: "must not import store" },
  { rule: rules.layerRule, file: { path: "src/providers/lxd/a.ts", text: `import "#providers/libvirt/x.ts";` }, says: "must not import" },
  { rule: rules.layerRule, file: { path: "src/app/a.ts", text: `export type { X } from "pg";` }, says: "all SQL is in store" },
  { rule: rules.layerRule, file: { path: "src/domain/a.ts", text: `import "node:fs";` }, says: "no I/O" },
  { rule: rules.specifierRule, file: { path: "src/app/a.ts", text: `import "./b";` }, says: "without its suffix" },
  { rule: rules.specifierRule, file: { path: "src/app/a.ts", text: `import "../domain/b.ts";` }, says: "write #domain/b.ts" },
  { rule: rules.nameRule, file: { path: "src/app/vappState.ts", text: "" }, says: "kebab-case" },
  { rule: rules.nameRule, file: { path: "src/app/vapp-utils.ts", text: "" }, says: "says nothing" },
  { rule: rules.nameRule, file: { path: "src/app/index.ts", text: "" }, says: "no barrels" },
  { rule: rules.lengthRule, file: { path: "src/app/a.ts", text: "\n".repeat(501) }, says: "501 lines" },
  { rule: rules.honestTestRule, file: { path: "src/app/a.test.ts", text: `test.${"skip"}("x", () => {});` }, says: "every test runs" },
  { rule: rules.honestTestRule, file: { path: "src/app/a.test.ts", text: `test.${"runIf"}(sunny)("x", f);` }, says: "every test runs" },
  { rule: rules.honestTestRule, file: { path: "src/app/a.test.ts", text: `test("x", { ${"retry"}: 2 }, f);` }, says: "every test runs" },
  { rule: rules.postgresRule(postgresPlaces), file: { path: "src/app/a.ts", text: `role: "postgres-15"` }, says: "belongs in" },
  { rule: rules.placeRule, file: { path: "README.md", text: ["http://deb", "debian", "org/x"].join(".") }, says: "registry host" },
  { rule: rules.placeRule, file: { path: "tools/a.sh", text: `cd ${"/wo"}${"rk"}/main` }, says: "path of one machine" },
  { rule: rules.todoRule, file: { path: "src/app/a.ts", text: `// ${"TO"}DO later` }, says: "issue number" },
  {
    rule: rules.requiredTestRule,
    file: { path: "src/processes/a.ts", text: "export const a: ProcessDefinition<X> = {}" },
    says: "test/sagas",
  },
  { rule: rules.requiredTestRule, file: { path: "src/providers/a/a.ts", text: "" }, says: "conformance suite of provider" },
];

/** What is installed, built or git's own is nobody's style. The folder is read, not git: a machine may have no git. */
const notOurs = new Set([".git", "node_modules", "dist", ".cache", "coverage", "package-lock.json", "LICENSE"]);

function tree(folder = ""): SourceFile[] {
  return readdirSync(join(root, folder), { withFileTypes: true })
    .filter((entry) => !notOurs.has(entry.name) && !entry.name.endsWith(".log"))
    .flatMap((entry) => {
      const path = folder === "" ? entry.name : `${folder}/${entry.name}`;
      if (entry.isDirectory()) return tree(path);
      if (!entry.isFile()) return [];
      const text = readFileSync(join(root, path), "utf8");
      return text.includes("\0") ? [] : [{ path, text }];
    });
}

describe("planted violations are found", () => {
  test.each(planted)("$file.path $says", ({ rule, file, says }) => {
    expect(rule([file]).join("\n")).toContain(says);
  });

  test("a clean file passes every rule", () => {
    const clean: SourceFile = {
      path: "src/app/vapp.ts",
      text: `import type { Id } from "#domain/id.ts";\nimport "#store/vapp.ts";\nimport "./order.ts";\n`,
    };
    for (const { rule } of planted) expect(rule([clean])).toEqual([]);
  });
});

describe("the layer table", () => {
  test("names only layers that exist in it", () => {
    const names = new Set(layers.map((l) => l.path.replace("/*", "")));
    for (const layer of layers) for (const may of layer.may) expect(names, `${layer.path} may import ${may}`).toContain(may);
  });

  test("takes the most specific layer", () => {
    expect(layerOf("cli/local/up.ts")?.name).toBe("cli/local");
    expect(layerOf("providers/lxd/machine.ts")?.name).toBe("providers/lxd");
    expect(layerOf("providers/loose.ts")).toBeNull();
  });

  test("lets only test files use testing", () => {
    expect(importRefusal("app/vapp.test.ts", "testing/site.ts")).toBeNull();
    expect(importRefusal("app/vapp.ts", "testing/site.ts")).not.toBeNull();
  });
});

describe("the tree", () => {
  const files = tree();
  const all = { ...rules, postgresRule: rules.postgresRule(postgresPlaces) };
  const named = Object.entries(all).filter(([name]) => name.endsWith("Rule")) as [string, Rule][];

  test.each(named)("%s", (_name, rule) => {
    expect(rule(files)).toEqual([]);
  });

  test("every test file belongs to exactly one suite", () => {
    const tests = files.map((f) => f.path).filter((path) => path.endsWith(".test.ts"));
    const seats = suites.flatMap((suite) => suiteFiles(suite));
    expect(seats.toSorted()).toEqual(tests.toSorted());
  });
});
