/** Optimistic locking of plain configuration: a request may name the generation it has seen (ETag, If-Match). */
import { AppError } from "#domain/error.ts";
import { canonicalJson } from "#domain/json.ts";

/** `new`: only when there is none yet. A number: only when that is the generation now. Undefined: whatever is there. */
export type IfGeneration = number | "new" | undefined;

/** Called in the transaction that wrote the row, with the generation it has now: throwing takes the write back. */
export function checkGeneration(expected: IfGeneration, written: number, what: string): void {
  const before = written - 1;
  if (expected === undefined || (expected === "new" ? before === 0 : before === expected)) return;
  throw new AppError("generation_moved", `${what} is not what the request expects`, {
    detail: [
      {
        constraint: expected === "new" ? `${what} is not there yet` : `${what} has generation ${expected}`,
        source: before === 0 ? "there is none" : `it has generation ${before}`,
        nearest: "read it again and repeat the change on what it is now",
      },
    ],
  });
}

/** Whether a row already says everything that is wanted; JSON columns are compared by value. */
export function unchanged<T extends object>(row: T | undefined, wanted: Readonly<Record<string, unknown>>): row is T {
  if (row === undefined) return false;
  return Object.entries(wanted).every(
    ([column, value]) => canonicalJson((row as Record<string, unknown>)[column]) === canonicalJson(value),
  );
}
