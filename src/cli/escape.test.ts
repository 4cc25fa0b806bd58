import fc from "fast-check";
import { expect, test } from "vitest";
import { EscapeFilter } from "#cli/escape.ts";

function typed(...pieces: string[]): { sent: string; quit: boolean } {
  const filter = new EscapeFilter();
  let sent = "";
  for (const piece of pieces) {
    const { send, quit } = filter.take(Buffer.from(piece));
    sent += send.toString();
    if (quit) return { sent, quit };
  }
  return { sent, quit: false };
}

test.each([
  ["~.", "", true],
  ["ls\r~.", "ls\r", true],
  ["ls\n~.rest", "ls\n", true],
  ["ls ~.", "ls ~.", false],
  ["\r~~.", "\r~.", false],
  ["\r~x", "\r~x", false],
  ["\r~\r~.", "\r~\r", true],
  ["~", "", false],
])("%j sends %j", (text, sent, quit) => {
  expect(typed(text)).toEqual({ sent, quit });
  expect(typed(...text)).toEqual({ sent, quit });
});

test("it makes no difference in which pieces a text is typed", () => {
  const text = fc.string({ unit: fc.constantFrom("~", ".", "\r", "a") });
  fc.assert(fc.property(text, (line) => void expect(typed(...line)).toEqual(typed(line))));
});
