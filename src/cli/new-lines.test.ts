import fc from "fast-check";
import { expect, test } from "vitest";
import { newLines } from "#cli/new-lines.ts";

test.each([
  ["nothing new", ["a", "b"], ["a", "b"], [], false],
  ["one more", ["a", "b"], ["a", "b", "c"], ["c"], false],
  ["the window moved", ["a", "b", "c"], ["b", "c", "d"], ["d"], false],
  ["a line twice", ["t", "t"], ["t", "t", "t"], ["t"], false],
  ["nothing in common", ["a", "b"], ["c", "d"], ["c", "d"], true],
  ["from nothing", [], ["a"], ["a"], false],
])("%s", (_what, before, after, lines, gap) => {
  expect(newLines(before, after)).toEqual({ lines, gap });
});

test("lines that differ are each said once, as long as a window sees more than came", () => {
  const steps = fc.array(fc.integer({ min: 0, max: 5 }), { maxLength: 8 });
  fc.assert(
    fc.property(fc.integer({ min: 6, max: 30 }), fc.integer({ min: 1, max: 40 }), steps, (width, start, come) => {
      const log = Array.from({ length: 100 }, (_none, index) => `line ${index}`);
      const seen = (at: number) => log.slice(Math.max(0, at - width), at);
      let at = start;
      const said = [...seen(at)];
      for (const step of come) {
        said.push(...newLines(seen(at), seen(at + step)).lines);
        at += step;
      }
      expect(said).toEqual(log.slice(Math.max(0, start - width), at));
    }),
  );
});
