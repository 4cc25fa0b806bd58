/** Scripted faults: what goes wrong, where, and at which call. In memory only; a restarted simulator is healthy. */
import type { z } from "zod";
import { fault } from "#providers/sim/wire.ts";

type ParsedFault = z.output<typeof fault>;

export interface Verdict {
  readonly delayMs: number;
  readonly fail: string | undefined;
  readonly failAfter: string | undefined;
  readonly loseAnswer: boolean;
}

export class Faults {
  #faults: { readonly fault: ParsedFault; seen: number }[] = [];
  readonly #unreachableUntil = new Map<string, number>();
  readonly #now: () => number;

  constructor(now: () => number) {
    this.#now = now;
  }

  add(raw: unknown): void {
    this.#faults.push({ fault: fault.parse(raw), seen: 0 });
  }

  clear(): void {
    this.#faults = [];
    this.#unreachableUntil.clear();
  }

  /** `scope` is an endpoint, `fabric`, or `*` for both. Zero milliseconds: reachable again. */
  unreachable(scope: string, forMs: number): void {
    this.#unreachableUntil.set(scope, this.#now() + forMs);
  }

  isUnreachable(scope: string): boolean {
    const until = Math.max(this.#unreachableUntil.get(scope) ?? 0, this.#unreachableUntil.get("*") ?? 0);
    return until > this.#now();
  }

  /** Counts the call at every fault it matches and says what the ones that are due do to it. */
  judge(scope: string, operation: string, name: string | undefined): Verdict {
    let verdict: Verdict = { delayMs: 0, fail: undefined, failAfter: undefined, loseAnswer: false };
    if (this.#faults.length === 0) return verdict;
    for (const entry of this.#faults) {
      const { fault: due } = entry;
      if (due.endpoint !== undefined && due.endpoint !== scope) continue;
      if (due.operation !== "*" && due.operation !== operation) continue;
      if (due.name !== undefined && due.name !== name) continue;
      entry.seen++;
      if (entry.seen < due.nth || (!due.forever && entry.seen >= due.nth + due.times)) continue;
      verdict = {
        delayMs: verdict.delayMs + due.delayMs,
        fail: verdict.fail ?? due.fail,
        failAfter: verdict.failAfter ?? due.failAfter,
        loseAnswer: verdict.loseAnswer || due.loseAnswer,
      };
    }
    this.#faults = this.#faults.filter(({ seen, fault: due }) => due.forever || seen < due.nth + due.times - 1);
    return verdict;
  }
}
