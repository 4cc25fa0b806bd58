/** Short-lived programs for tools: run, wait, fail with the program's own words. */
import { spawnSync } from "node:child_process";

export function output(file: string, args: readonly string[]): string {
  const result = spawnSync(file, args, { encoding: "utf8", maxBuffer: 64 * 1024 * 1024 });
  if (result.error !== undefined) throw new Error(`cannot run ${file}: ${result.error.message}`);
  if (result.status !== 0) throw new Error(`${file} ${args.join(" ")}: ${result.stderr.trim()}`);
  return result.stdout;
}

export function outputLines(file: string, args: readonly string[]): string[] {
  return output(file, args)
    .split("\n")
    .filter((line) => line.trim() !== "");
}
