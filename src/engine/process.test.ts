import { spawn } from "node:child_process";
import { expect, test } from "vitest";
import { isProvenDead, runningSince, thisProcess } from "#engine/process.ts";

test("this process runs, by number and start time", () => {
  const self = thisProcess();
  expect(self.pidStarted).toBe(runningSince(process.pid));
  expect(Number(self.pidStarted)).toBeGreaterThan(0);
  expect(isProvenDead(self, self)).toBe(false);
});

test("death is proven by a missing process, a reused number, or a reboot, and by nothing else", async () => {
  const self = thisProcess();
  const child = spawn("true");
  const pid = child.pid!;
  await new Promise((resolve) => child.on("close", resolve));
  expect(isProvenDead({ ...self, pid }, self)).toBe(true);
  expect(isProvenDead({ ...self, pidStarted: "1" }, self)).toBe(true);
  expect(isProvenDead({ ...self, bootId: "another boot" }, self)).toBe(true);
  expect(isProvenDead({ ...self, hostname: "another host", pid }, self)).toBe(false);
  expect(isProvenDead({ ...self, pidNamespace: "pid:[1]", pid }, self)).toBe(false);
});

test("a zombie does not run", async () => {
  // The shell's child ends at once, and `sleep`, which takes the shell's place, never collects it.
  const parent = spawn("sh", ["-c", "true & echo $!; exec sleep 30"], { stdio: ["ignore", "pipe", "ignore"] });
  const pid = await new Promise<number>((resolve) => parent.stdout.once("data", (chunk: Buffer) => resolve(Number(chunk.toString()))));
  await new Promise((resolve) => setTimeout(resolve, 200));
  expect(runningSince(pid)).toBeUndefined();
  expect(runningSince(parent.pid!)).toBeDefined();
  parent.kill("SIGKILL");
  await new Promise((resolve) => parent.on("close", resolve));
});
