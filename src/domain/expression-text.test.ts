import fc from "fast-check";
import { expect, test } from "vitest";
import { hasExpression, splitText, withIndexes } from "#domain/expression-text.ts";

test("hasExpression", () => {
  expect(["${a}", "x ${a}", "$${a}", "{a}", "$a"].map(hasExpression)).toEqual([true, true, false, false, false]);
});

test("text is cut at expressions, whose braces and strings may hold braces", () => {
  expect(splitText("p", "a${b}c")).toEqual([
    { kind: "text", text: "a" },
    { kind: "expression", text: "b" },
    { kind: "text", text: "c" },
  ]);
  expect(splitText("p", "${ {'}': 1}['}'] }${\"\\\"}\"}").map((part) => part.text)).toEqual([" {'}': 1}['}'] ", '"\\"}"']);
  expect(splitText("p", "")).toEqual([{ kind: "text", text: "" }]);
  expect(() => splitText("p", "${'}")).toThrow(/ends with/);
});

test("indexes with a dot become CEL's, but not in strings and numbers", () => {
  expect(withIndexes("tier.db.0.address + tier.a1.2.3 + x[0].1")).toBe("tier.db[0].address + tier.a1[2][3] + x[0][1]");
  expect(withIndexes("1.5 + 'a.0' + \"b.1\" + 'it\\'s.2'")).toBe("1.5 + 'a.0' + \"b.1\" + 'it\\'s.2'");
});

test("property: the parts of any text without a dollar sign are the text", () => {
  fc.assert(
    fc.property(fc.string(), fc.stringMatching(/^[a-z0-9 +.]{0,30}$/), (text, expression) => {
      fc.pre(!text.includes("$"));
      expect(splitText("p", `${text}\${${expression}}${text}`)).toEqual([
        ...(text === "" ? [] : [{ kind: "text", text }]),
        { kind: "expression", text: expression },
        ...(text === "" ? [] : [{ kind: "text", text }]),
      ]);
    }),
  );
});
