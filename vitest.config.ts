import { defineConfig } from "vitest/config";

/**
 * Suites by what they need. `tidy`, `unit`, `api` and `sagas` run anywhere; `endpoints` needs root and the Debian packages of
 * tools/packages.mjs; `chaos` kills processes and databases; `e2e` drives the whole product. Suites with daemons run one file at a
 * time: two hypervisors starting at once on two cores measure each other.
 */
const suite = (name: string, include: string[], extra: object = {}) => ({
  extends: true as const,
  test: { name, include, testTimeout: 60_000, hookTimeout: 120_000, ...extra },
});

const slow = { fileParallelism: false, testTimeout: 300_000, hookTimeout: 300_000 };

export default defineConfig({
  test: {
    // A retry hides the race it found.
    retry: 0,
    allowOnly: false,
    projects: [
      suite("tidy", ["test/*.test.ts"]),
      suite("unit", ["src/**/*.test.ts", "tools/**/*.test.ts", "test/support/**/*.test.ts", "images/**/*.test.ts"]),
      suite("api", ["test/api/**/*.test.ts"]),
      suite("sagas", ["test/sagas/**/*.test.ts", "test/sim/**/*.test.ts", "test/sabotage/**/*.test.ts"]),
      suite("endpoints", ["test/endpoints/**/*.test.ts"], slow),
      suite("chaos", ["test/chaos/**/*.test.ts"], slow),
      suite("e2e", ["test/e2e/**/*.test.ts"], slow),
    ],
  },
});
