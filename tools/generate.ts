/**
 * `npm run generate`: every generated file that is committed, in one table. A generator is a script that writes its files in place; the
 * gate runs it, compares, and puts the committed text back, so a stale file fails the gate without being changed by it.
 */
import { execFileSync } from "node:child_process";
import { existsSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { root } from "./suites.ts";

interface Generator {
  readonly script: string;
  readonly files: readonly string[];
}

/** In order: the SDK is generated from the OpenAPI document. */
const generators: readonly Generator[] = [
  { script: "tools/generate-oxlint.ts", files: [".oxlintrc.json"] },
  { script: "tools/generate-openapi.ts", files: ["docs/api/openapi.json"] },
  { script: "tools/generate-sdk.ts", files: ["src/sdk/schema.generated.ts"] },
];

function generate(generator: Generator): void {
  execFileSync(process.execPath, [generator.script], { cwd: root, stdio: ["ignore", "inherit", "inherit"] });
}

function present(): readonly Generator[] {
  return generators.filter((g) => existsSync(join(root, g.script)));
}

function read(file: string): string | null {
  const path = join(root, file);
  return existsSync(path) ? readFileSync(path, "utf8") : null;
}

/** Files whose committed text differs from what their generator makes. The tree is left as it was. */
export async function staleGenerated(): Promise<string[]> {
  const before = new Map(present().flatMap((g) => g.files.map((file) => [file, read(file)] as const)));
  try {
    for (const generator of present()) generate(generator);
    return [...before].filter(([file, text]) => read(file) !== text).map(([file]) => file);
  } finally {
    for (const [file, text] of before) {
      if (text === null) rmSync(join(root, file), { force: true });
      else if (read(file) !== text) writeFileSync(join(root, file), text);
    }
  }
}

if (import.meta.main) for (const generator of present()) generate(generator);
