import { appendFileSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, expect, test } from "vitest";
import { Journal } from "#providers/sim/journal.ts";

const folder = mkdtempSync(join(tmpdir(), "stratiform-journal-"));
afterAll(() => rmSync(folder, { recursive: true }));

function replayed(path: string): number[] {
  const seen: number[] = [];
  new Journal<number>(path, (entry) => seen.push(entry)).close();
  return seen;
}

test("replays every line in order, also after several openings", () => {
  const path = join(folder, "plain");
  expect(replayed(path)).toEqual([]);
  for (const entry of [1, 2]) {
    const journal = new Journal<number>(path, () => {});
    journal.append(entry);
    expect(journal.length).toBe(entry);
    journal.close();
  }
  expect(replayed(path)).toEqual([1, 2]);
});

test("a torn last line is cut off, and what follows is whole", () => {
  const path = join(folder, "torn");
  const first = new Journal<object>(path, () => {});
  first.append({ a: "ä€😀" });
  first.close();
  // Cut inside a multi-byte character, as a kill in the middle of a write can.
  appendFileSync(path, Buffer.from('{"b":"😀').subarray(0, -2));
  const second = new Journal<object>(path, () => {});
  expect(second.length).toBe(1);
  second.append({ c: 1 });
  second.close();
  expect(readFileSync(path, "utf8")).toBe('{"a":"ä€😀"}\n{"c":1}\n');
});

test("damage before the last line is not passed over", () => {
  const path = join(folder, "damaged");
  appendFileSync(path, "1\n{broken\n2\n");
  expect(() => replayed(path)).toThrow(SyntaxError);
});
