import { spawn } from "node:child_process";
import { expect, test } from "vitest";
import { processIdentify, processIsAlive, processStatParse } from "#lib/process-identity.ts";

const tail = (state: string) => `${state} 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 4242 20`;

test("the start time is found behind a command name with brackets and blanks", () => {
  expect(processStatParse(7, `7 (a) b (c)) ${tail("S")}`)).toEqual({ pid: 7, startTicks: "4242" });
});

test("a zombie counts as dead", () => {
  expect(processStatParse(7, `7 (x) ${tail("Z")}`)).toBeNull();
});

test("a process is alive under its own start time only", async () => {
  const child = spawn("sleep", ["30"]);
  const identity = await processIdentify(child.pid!);
  expect(identity).not.toBeNull();
  expect(await processIsAlive(identity!)).toBe(true);
  expect(await processIsAlive({ ...identity!, startTicks: "1" })).toBe(false);
  child.kill("SIGKILL");
  await new Promise((resolve) => child.once("exit", resolve));
  expect(await processIsAlive(identity!)).toBe(false);
});
