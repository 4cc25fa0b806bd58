/** The guests' JSON reader against JavaScript's, with the host's awk: whatever the control plane sends must come out unchanged. */
import { spawnSync } from "node:child_process";
import { join } from "node:path";
import fc from "fast-check";
import { expect, test } from "vitest";

const program = join(import.meta.dirname, "common/rootfs/usr/lib/stratiform/json.awk");

function flatten(text: string): { code: number | null; lines: string[] } {
  const { status, stdout } = spawnSync("awk", ["-f", program], { input: text, env: { ...process.env, LC_ALL: "C" } });
  return { code: status, lines: stdout.toString().split("\n").slice(0, -1) };
}

function expected(value: unknown, path = ""): string[] {
  const join = (key: string | number) => (path === "" ? String(key) : `${path}.${key}`);
  if (Array.isArray(value)) return value.flatMap((item, i) => expected(item, join(i)));
  if (typeof value === "object" && value !== null) return Object.entries(value).flatMap(([key, item]) => expected(item, join(key)));
  const text = value === null ? "" : String(value);
  return [`${path}\t${text.replaceAll("\\", "\\\\").replaceAll("\n", "\\n").replaceAll("\t", "\\t")}`];
}

const key = fc.stringMatching(/^[a-z][a-zA-Z0-9_-]{0,8}$/).filter((name) => name !== "__proto__");
/** No NUL: awk strings end there, and the reader refuses it. */
const text = fc.string({ unit: "grapheme", maxLength: 30 }).filter((value) => !value.includes("\0"));
const tree = fc.letrec((tie) => ({
  value: fc.oneof({ maxDepth: 4 }, text, fc.integer(), fc.boolean(), fc.constant(null), tie("list"), tie("map")),
  list: fc.array(tie("value"), { maxLength: 4 }),
  map: fc.dictionary(key, tie("value"), { maxKeys: 5 }),
}));

test("flattens any context as JavaScript would, compact and indented", () => {
  fc.assert(
    fc.property(tree.map, fc.constantFrom(0, 2), (value, indent) => {
      expect(flatten(JSON.stringify(value, null, indent))).toEqual({ code: 0, lines: expected(value) });
    }),
    { numRuns: 60 },
  );
});

test("escapes: quotes, controls, surrogate pairs", () => {
  const value = { a: 'q"\\/\b\f\r\n\t', b: "é€😀" };
  expect(flatten(JSON.stringify(value)).lines).toEqual(expected(value));
  expect(flatten('{"b":"\\u00e9\\u20AC\\ud83d\\ude00","c":"\\u000a\\u005c"}').lines).toEqual(["b\té€😀", "c\t\\n\\\\"]);
});

test.each(["", "{", '{"a":', '{"a":1}x', '{"a" 1}', '{"a":"b', '{"a":tru}', "[1,]", '{"a":"\\q"}', '{"a":"\\u12"}', '{"a":"\\u0000"}'])(
  "refuses %j",
  (broken) => {
    expect(flatten(broken).code).not.toBe(0);
  },
);
