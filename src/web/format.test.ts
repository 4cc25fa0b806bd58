import { expect, test } from "vitest";
import { age, amount, attribute, counted, duration, durationRoughly, factText, memory, moment, perMonth } from "./format.ts";

test.each([
  [-5, "0 ms", "0 s"],
  [40, "40 ms", "0 s"],
  [1_250, "1.2 s", "1 s"],
  [59_999, "59 s", "59 s"],
  [60_000, "1 min", "1 min"],
  [3_599_000, "59 min 59 s", "59 min 59 s"],
  [7_260_000, "2 h 1 min", "2 h 1 min"],
  [90_000_000, "1 d 1 h", "1 d 1 h"],
])("%d ms is %s, and roughly %s", (ms, exactly, roughly) => {
  expect(duration(ms)).toBe(exactly);
  expect(durationRoughly(ms)).toBe(roughly);
});

test.each([
  [-1_000, "just now"],
  [1_999, "just now"],
  [12_000, "12 s ago"],
  [119_000, "119 s ago"],
  [120_000, "2 min ago"],
  [7_199_000, "119 min ago"],
  [172_800_000, "2 d ago"],
])("%d ms ago is %s", (ms, text) => {
  expect(age(ms)).toBe(text);
});

test("a moment is told in both times", () => {
  expect(moment("2026-11-23T20:08:00.123Z")).toMatch(/local, 2026-11-23 20:08:00 UTC$/);
});

test.each([
  ["0", "0.00"],
  ["0.0183751953125", "0.018375"],
  ["1234.5", "1,234.50"],
  ["much", "much"],
])("the amount %s is shown as %s", (text, shown) => {
  expect(amount(text)).toBe(shown);
});

test("a month has the hours of the rate card", () => {
  expect(perMonth("0.01")).toBe("7.30");
});

test.each([
  [null, "none"],
  ["", ""],
  [false, "false"],
  [["a", 2], "a, 2"],
  [[], "none"],
  [{ port: 80, open: true, more: { deep: null } }, "port 80, open true, more deep none"],
])("the value %j reads %s", (value, text) => {
  expect(factText(value)).toBe(text);
});

test.each([
  ["power", "power"],
  ["memoryMiB", "memory MiB"],
  ["externalId", "external id"],
  ["serial console", "serial console"],
])("the attribute %s reads %s", (name, words) => {
  expect(attribute(name)).toBe(words);
});

test("sizes and counts", () => {
  expect([memory(512), memory(1_536)]).toEqual(["512 MiB", "1.5 GiB"]);
  expect([counted(1, "machine"), counted(0, "machine")]).toEqual(["1 machine", "0 machines"]);
});
