/** Optimistic locking of plain configuration: a request may name the generation it has seen (ETag, If-Match). */
import { AppError } from "#domain/error.ts";

/** `new`: only when there is none yet. A number: only when that is the generation now. Undefined: whatever is there. */
export type IfGeneration = number | "new" | undefined;

export function checkGeneration(noun: string, name: string, current: number | undefined, expected: IfGeneration): void {
  if (expected === undefined || expected === (current ?? "new")) return;
  throw new AppError("generation_moved", `${noun} ${name} is not what the request expects`, {
    detail: [
      {
        constraint: expected === "new" ? `${noun} ${name} is not there yet` : `${noun} ${name} has generation ${expected}`,
        source: current === undefined ? "there is none" : `it has generation ${current}`,
        nearest: "read it again and repeat the change on what it is now",
      },
    ],
  });
}
