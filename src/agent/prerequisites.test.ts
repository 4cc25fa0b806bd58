import { expect, test } from "vitest";
import type { AppError } from "#domain/error.ts";
import { prerequisites, prerequisitesCheck } from "#agent/prerequisites.ts";

const bareHost = { root: false, searchPath: ["/usr/bin"], has: async (path: string) => path === "/usr/bin/ip" };

test("everything that is missing is said at once, with its package and one command for all", async () => {
  const error = (await prerequisitesCheck(bareHost).catch((e: unknown) => e)) as AppError;
  expect(error.code).toBe("capability_missing");
  expect(error.message).toContain("root rights");
  expect(error.message).not.toContain("iproute2");
  const packages = prerequisites.map((p) => p.package).filter((p) => p !== "iproute2");
  for (const name of packages) expect(error.message).toContain(`package ${name}`);
  expect(error.detail).toHaveLength(packages.length + 1);
  expect(error.detail[1]?.nearest).toBe(`apt-get install -y --no-install-recommends ${packages.join(" ")}`);
});

test("a host that has everything passes", async () => {
  await prerequisitesCheck({ root: true, searchPath: ["/bin"], has: async () => true });
});
