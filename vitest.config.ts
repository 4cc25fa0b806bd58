import { defineConfig } from "vitest/config";
import { suites } from "./tools/suites.ts";

/** One project a suite of tools/suites.ts. Two hypervisors starting at once on two cores measure each other: slow suites run file by file. */
const slow = { fileParallelism: false, testTimeout: 300_000, hookTimeout: 300_000 };
const quick = { testTimeout: 60_000, hookTimeout: 120_000 };

export default defineConfig({
  test: {
    // A retry hides the race it found.
    retry: 0,
    allowOnly: false,
    projects: suites.map((suite) => ({
      extends: true as const,
      test: {
        name: suite.name,
        include: [...suite.include],
        exclude: ["**/node_modules/**", ...suite.exclude],
        ...(suite.slow ? slow : quick),
      },
    })),
  },
});
