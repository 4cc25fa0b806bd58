import { mkdtemp, readdir, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { openStateFile } from "#agent/agent-state.ts";

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "agent-state-"));
});
afterEach(() => rm(folder, { recursive: true }));

test("what was written is read by the next agent, and no half-written file stays", async () => {
  const path = join(folder, "state.json");
  const first = await openStateFile(path);
  expect(first.current()).toEqual({ version: 1, site: null, segments: {}, exposures: {} });
  const owner = { installation: "i", vapp: "v", object: "o" };
  const segment = { name: "s1", owner, prefix: "10.64.1.0/24", gateway: "10.64.1.1", isolated: true };
  await first.write({ ...first.current(), segments: { s1: segment } });
  expect((await openStateFile(path)).current().segments).toEqual({ s1: segment });
  expect(await readdir(folder)).toEqual(["state.json"]);
});

test("a file that is not a state is refused, not overwritten", async () => {
  const path = join(folder, "state.json");
  await writeFile(path, '{"version":2}');
  await expect(openStateFile(path)).rejects.toMatchObject({ code: "internal" });
});
