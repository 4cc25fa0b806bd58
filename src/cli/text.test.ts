import { styleText } from "node:util";
import { expect, test } from "vitest";
import { age, amount, bytes, duration, plural, rate, size, table } from "#cli/text.ts";

test("columns are as wide as what is seen in them, colours apart", () => {
  const red = styleText("red", "failed", { validateStream: false });
  const rows = [
    { name: "a", state: red },
    { name: "long-name", state: "ok" },
  ];
  const text = table(rows, [
    { title: "NAME", of: ({ name }) => name },
    { title: "STATE", of: ({ state }) => state },
    { title: "END", of: () => "x" },
  ]);
  expect(text).toBe(`NAME       STATE   END\na          ${red}  x\nlong-name  ok      x`);
});

test.each([
  [0, "0.0 s"],
  [9_940, "9.9 s"],
  [61_000, "61 s"],
  [600_000, "10 min"],
  [7_200_000, "2 h"],
  [86_400_000 * 3, "3 d"],
  [-5, "0.0 s"],
])("%i ms read as %s", (ms, text) => expect(duration(ms)).toBe(text));

test("figures say what matters", () => {
  expect([amount("0.012000"), amount("3.000"), amount("100"), amount("0.10")]).toEqual(["0.012", "3", "100", "0.1"]);
  expect([bytes(512), bytes(1_048_576), bytes(1_610_612_736)]).toEqual(["512 B", "1.0 MiB", "1.5 GiB"]);
  expect([size(128), size(2_048), plural(1, "step"), plural(2, "step")]).toEqual(["128 MiB", "2 GiB", "1 step", "2 steps"]);
  expect([age(null, 0), age("2026-01-01T00:00:00Z", Date.parse("2026-01-01T00:00:30Z"))]).toEqual(["never", "30 s ago"]);
});

test("a price for an hour has as many digits as people read", () => {
  expect([rate("0.04384326171875"), rate("0.002"), rate("3.0000000001"), rate("12")]).toEqual(["0.043843", "0.002", "3", "12"]);
});
