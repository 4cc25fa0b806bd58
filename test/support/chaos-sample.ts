/**
 * A random choice that can be repeated: the seed is printed by whoever chooses, and `STRATIFORM_CHAOS_SEED` brings the same choice back.
 * Each choice has a name of its own in it, so that it does not depend on which test ran first.
 */
import { createHash } from "node:crypto";

/** Of this process, unless the variable names one. */
export function chaosSeed(env: Readonly<Record<string, string | undefined>> = process.env, now = Date.now()): number {
  const text = env["STRATIFORM_CHAOS_SEED"];
  const seed = text === undefined || text === "" ? now % 1_000_000 : Number(text);
  if (!Number.isSafeInteger(seed)) throw new Error(`STRATIFORM_CHAOS_SEED is a whole number, not "${text}"`);
  return seed;
}

/** `count` of them, in the order they are in; all when there are no more. */
export function sampleOf<T>(all: readonly T[], count: number, seed: number, name: string): T[] {
  const drawn = all.map((_, index) => ({ index, lot: createHash("sha256").update(`${seed} ${name} ${index}`).digest("hex") }));
  const chosen = drawn.toSorted((a, b) => (a.lot < b.lot ? -1 : 1)).slice(0, count);
  return chosen.toSorted((a, b) => a.index - b.index).map(({ index }) => all[index]!);
}
