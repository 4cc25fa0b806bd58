import { stripVTControlCharacters } from "node:util";
import { expect, test } from "vitest";
import { liveLines } from "#cli/progress.ts";

type Run = Parameters<typeof liveLines>[0];

function run(states: readonly string[]): Run {
  const steps = states.map((state, i) => ({
    id: `s${i}`,
    kind: "test",
    title: `Step ${i}`,
    after: [],
    state,
    attempts: 1,
    startedAt: state === "pending" ? null : "2026-01-01T00:00:00.000Z",
    finishedAt: state === "ok" || state === "failed" ? "2026-01-01T00:00:01.500Z" : null,
    error: state === "failed" ? { code: "timeout", message: "too slow" } : null,
    waiting: null,
    decision: null,
  }));
  return { id: "run_1", order: "ord_1", vapp: "vapp_1", action: "deploy", state: "running", createdAt: "", finishedAt: null, steps };
}

const plain = (lines: readonly string[]) => lines.map((line) => stripVTControlCharacters(line));

test("each step has a line with its mark, its time and its error", () => {
  const lines = plain(liveLines(run(["ok", "failed", "pending"]), 0, 20, 80));
  expect(lines).toEqual(["✔ Step 0  1.5 s", "✖ Step 1: too slow  1.5 s", "· Step 2"]);
});

test("a list longer than the screen shows what is under way and counts the rest", () => {
  const lines = plain(liveLines(run(["ok", "ok", "running", "failed", "pending", "pending"]), 3, 4, 80));
  expect(lines.map((line) => line.slice(2, 8))).toEqual(["Step 3", "Step 2", "of 6 s"]);
  expect(lines.at(-1)).toBe("3 of 6 steps");
  expect(Math.max(...plain(liveLines(run(["failed"]), 0, 20, 15)).map((line) => line.length))).toBeLessThanOrEqual(15);
});
