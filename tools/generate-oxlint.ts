/** Writes `.oxlintrc.json` from the layer table. `--check` only compares, for the gate. */
import { readFileSync, writeFileSync } from "node:fs";
import { layers, pureLayers, restrictedPackages, type Layer } from "./layers.ts";

const target = new URL("../.oxlintrc.json", import.meta.url);

const rules = {
  eqeqeq: ["error", "always", { null: "ignore" }],
  "max-lines": ["error", { max: 500 }],
  "max-lines-per-function": ["error", { max: 70, skipBlankLines: true, skipComments: true }],
  "no-console": "error",
  "no-var": "error",
  "prefer-const": "error",
  "no-debugger": "error",
  "no-unused-vars": ["error", { argsIgnorePattern: "^_", varsIgnorePattern: "^_", caughtErrorsIgnorePattern: "^_" }],
  "typescript/no-explicit-any": "error",
  "typescript/no-non-null-asserted-optional-chain": "error",
  "typescript/consistent-type-imports": "error",
  "typescript/ban-ts-comment": "error",
  "typescript/no-namespace": "error",
  "import/no-default-export": "error",
  "import/no-cycle": "error",
  "import/no-self-import": "error",
  "oxc/no-barrel-file": ["error", { threshold: 0 }],
  "vitest/no-focused-tests": "error",
  "vitest/no-disabled-tests": "error",
  // The second argument of `expect` says what the value was about.
  "vitest/valid-expect": ["error", { maxArgs: 2 }],
  "unicorn/no-abusive-eslint-disable": "error",
  // Empty functions and spreads of small records are how this code base says "nothing" and "plus"; both read well.
  "unicorn/no-useless-spread": "off",
  "unicorn/no-empty-file": "error",
};

function forbidden(layer: Layer, alsoTesting: boolean) {
  const name = layer.path.replace("/*", "");
  const own = name.split("/")[0];
  const names = [...new Set(layers.map((l) => l.path.replace("/*", "").split("/")[0]))];
  const allowed = new Set(layer.may.map((m) => m.split("/")[0]));
  if (alsoTesting) allowed.add("testing");
  const patterns: { regex: string; message: string }[] = [];
  const denied = names.filter((n) => n !== own && !allowed.has(n)).map((n) => n!.replace(".", "\\."));
  if (denied.length > 0) {
    patterns.push({ regex: `^(#|(\\.\\./)+)(${denied.join("|")})(/|$)`, message: `${layer.path}: ${layer.why} (tools/layers.ts)` });
  }
  for (const p of restrictedPackages)
    if (!p.only.includes(name) && layer.path !== "main.ts") patterns.push({ regex: p.pattern, message: p.why });
  if (pureLayers.includes(name) && !alsoTesting) patterns.push({ regex: "^node:", message: "domain has no I/O, clock or randomness" });
  return patterns;
}

function overrides() {
  const result: object[] = [];
  // Later overrides win, so the folder inside a folder comes last.
  for (const layer of layers.toSorted((a, b) => a.path.length - b.path.length)) {
    const suffix = layer.path === "web" ? "{ts,tsx}" : "ts";
    const glob = layer.path.endsWith(".ts") ? `src/${layer.path}` : `src/${layer.path.replace("/*", "")}/**/*.${suffix}`;
    for (const test of [false, true]) {
      const patterns = forbidden(layer, test);
      if (patterns.length === 0 || (test && layer.path.endsWith(".ts"))) continue;
      const files = [test ? glob.replace(/\*\.[^*]+$/, "*.test.ts") : glob];
      result.push({ files, rules: { "no-restricted-imports": ["error", { patterns }] } });
    }
  }
  return result;
}

const config = {
  $schema: "./node_modules/oxlint/configuration_schema.json",
  plugins: ["typescript", "unicorn", "oxc", "import", "vitest"],
  categories: { correctness: "error" },
  env: { node: true, es2024: true },
  ignorePatterns: ["dist", "node_modules", "coverage", ".cache", "**/*.generated.ts"],
  rules,
  overrides: [
    ...overrides(),
    // A describe block is a list of tests, not a function; conformance suites and shared test parts are describe blocks too.
    {
      files: ["**/*.test.ts", "**/conformance.ts", "**/conformance/**/*.ts", "test/**/*.ts", "src/testing/**/*.ts"],
      rules: {
        "max-lines-per-function": "off",
        // "Decodes, or throws this error" is a property worth testing; suites take names and expectations from their caller.
        "vitest/no-conditional-expect": "off",
        "vitest/expect-expect": "off",
        "vitest/valid-title": "off",
        "vitest/no-conditional-tests": "off",
        "vitest/no-standalone-expect": "off",
        "vitest/valid-describe-callback": "off",
        "no-console": "off",
      },
    },
    // A migration is a list of statements in order.
    { files: ["src/store/migrations/**/*.ts"], rules: { "max-lines-per-function": "off" } },
    // What people read on a terminal is printed by the command line and by tools.
    { files: ["src/cli/**/*.ts", "tools/**", "bin/**", "src/main.ts"], rules: { "no-console": "off" } },
    // Components: the rules of React's hooks, and what makes a page usable without a mouse or without seeing it.
    {
      files: ["src/web/**/*.{ts,tsx}"],
      plugins: ["typescript", "unicorn", "oxc", "import", "react", "jsx-a11y"],
      rules: {
        "react/rules-of-hooks": "error",
        "react/exhaustive-deps": "error",
        // The one field of the sign-in page is what one comes for.
        "jsx-a11y/no-autofocus": "off",
        // What scrolls by itself must be reachable with the keyboard, and explicit roles keep a table one whose rows are drawn as cards.
        "jsx-a11y/no-noninteractive-tabindex": "off",
        "jsx-a11y/no-redundant-roles": "off",
        "jsx-a11y/no-interactive-element-to-noninteractive-role": "off",
        "jsx-a11y/prefer-tag-over-role": "off",
      },
    },
    { files: ["*.config.ts"], rules: { "import/no-default-export": "off" } },
  ],
};

// One override a line: the file stays short enough to review.
const { overrides: overrideList, ...head } = config;
const text = `${JSON.stringify(head, null, 2).slice(0, -2)},\n  "overrides": [\n${overrideList.map((o) => `    ${JSON.stringify(o)}`).join(",\n")}\n  ]\n}\n`;
if (process.argv.includes("--check")) {
  if (readFileSync(target, "utf8") !== text) {
    console.error(".oxlintrc.json is not what tools/layers.ts says: run `npm run generate`");
    process.exit(1);
  }
} else writeFileSync(target, text);
