/** What needs no reader. Somebody else's code reads the images in test/endpoints/iso9660.test.ts. */
import { expect, test } from "vitest";
import { makeIso } from "#lib/iso9660.ts";

test("the same files give the same bytes, whatever their order", () => {
  const files = [
    { path: "a", content: "1" },
    { path: "x/b", content: "2" },
  ];
  expect(makeIso("l", files).equals(makeIso("l", [...files].reverse()))).toBe(true);
});

test("what does not fit is refused", () => {
  const file = (path: string) => ({ path, content: "" });
  expect(() => makeIso("l", [file("a/b/c")])).toThrow(/too deep/);
  expect(() => makeIso("l", [file("sp ace")])).toThrow(/cannot be the name/);
  expect(() => makeIso("", [])).toThrow(/label/);
  const many = Array.from({ length: 40 }, (_, index) => file(`file-with-a-long-name-${index}`));
  expect(() => makeIso("l", many)).toThrow(/too many/);
});
