import { existsSync, readFileSync } from "node:fs";
import { expect, test } from "vitest";
import { builtInProcesses } from "#processes/built-in.ts";
import { chaosCases, ownMatrices, processOf } from "./chaos-cases.ts";

const names = builtInProcesses.map(({ name }) => name);

test("control planes are killed during every process", () => {
  const killed = new Set([...Object.keys(chaosCases).map(processOf), ...ownMatrices]);
  expect(names.filter((name) => !killed.has(name))).toEqual([]);
  const own = readFileSync(new URL("../chaos/sim-kill.test.ts", import.meta.url), "utf8");
  expect(ownMatrices.filter((name) => !own.includes(`action: "${name}"`))).toEqual([]);
});

test("on a real site too", () => {
  const real = ["real-kill", "real-day-two"]
    .map((name) => readFileSync(new URL(`../chaos/${name}.test.ts`, import.meta.url), "utf8"))
    .join("");
  expect(names.filter((name) => !real.includes(`["${name}", `) && !real.includes(`action: "${name}"`))).toEqual([]);
});

test("every process that undoes itself is killed while it does", () => {
  const undoing = new Set(Object.entries(chaosCases).flatMap(([name, one]) => (one.undone === undefined ? [] : [processOf(name)])));
  const wanted = builtInProcesses.filter(({ name, onFailure }) => onFailure === "compensate" && !ownMatrices.includes(name));
  expect(wanted.map(({ name }) => name).filter((name) => !undoing.has(name))).toEqual([]);
});

test("every process has the generic tests, in a file of its name", () => {
  const file = (name: string) => new URL(`../sagas/${name}.test.ts`, import.meta.url);
  expect(names.filter((name) => !existsSync(file(name)) || !readFileSync(file(name), "utf8").includes("sagaSuite("))).toEqual([]);
});
