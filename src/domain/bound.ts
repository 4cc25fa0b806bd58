/**
 * Bounds of automated actions (I4): how many objects in all states, how many actions in a time, and a breaker that stops trying after
 * repeated failure. Pure: the caller brings the history and the time.
 *
 * A control loop without them once made 30,000 VMs of a group of at most 4: it counted only those that ran, and did not see those
 * being created. So `count` here is of objects in every state but deleted, and an action without an outcome yet counts as made.
 */
import { z } from "zod";
import type { Refusal } from "#domain/error.ts";

export const boundSchema = z
  .strictObject({
    /** Objects in all states but deleted, after the action. */
    maxCount: z.int().min(0).max(100_000),
    /** At most `actions` started in any window of `windowMs`. */
    rate: z.strictObject({
      actions: z.int().min(1).max(10_000),
      windowMs: z
        .int()
        .min(1000)
        .max(31 * 86_400_000),
    }),
    /** After `failures` in a row nothing is tried for `openMs`; then one attempt at a time until one succeeds. */
    breaker: z.strictObject({
      failures: z.int().min(1).max(1000),
      openMs: z
        .int()
        .min(1000)
        .max(31 * 86_400_000),
    }),
  })
  .meta({ id: "Bound" });
export type Bound = z.infer<typeof boundSchema>;

export interface BoundAction {
  /** When it was started. */
  readonly at: number;
  /** When its outcome was known; null while it is under way. */
  readonly endedAt: number | null;
  readonly outcome: "succeeded" | "failed" | "pending";
}

export interface BoundHistory {
  /** Objects in all states but deleted, those being created included. */
  readonly count: number;
  /** Reaches back at least `rate.windowMs` and to the last success; in any order. */
  readonly actions: readonly BoundAction[];
}

export interface BoundRequest {
  /** How many objects the action adds; 0 for one that changes or removes. */
  readonly adds: number;
  /** Names the bound for the refusal, e.g. "bound of the repair reconciler". */
  readonly source: string;
}

export type BoundDecision =
  | { readonly allowed: true }
  | {
      readonly allowed: false;
      readonly refusals: readonly Refusal[];
      /** Null: time alone changes nothing. */ readonly notBefore: number | null;
    };

/** Decides on one more action at `now`. All broken bounds are named. */
export function allow(bound: Bound, history: BoundHistory, now: number, { adds, source }: BoundRequest): BoundDecision {
  const broken = [countBroken(bound, history, adds), rateBroken(bound, history, now), breakerBroken(bound, history, now)].filter(
    (one) => one !== null,
  );
  if (broken.length === 0) return { allowed: true };
  const times = broken.map((one) => one.notBefore);
  const notBefore = times.includes(null) ? null : Math.max(...times.filter((time) => time !== null));
  return { allowed: false, refusals: broken.map(({ constraint, nearest }) => ({ constraint, source, nearest })), notBefore };
}

interface Broken {
  readonly constraint: string;
  readonly nearest: string;
  readonly notBefore: number | null;
}

function countBroken({ maxCount }: Bound, { count }: BoundHistory, adds: number): Broken | null {
  if (adds === 0 || count + adds <= maxCount) return null;
  const free = Math.max(0, maxCount - count);
  const nearest = free > 0 ? `add at most ${free}` : `delete ${count + adds - maxCount}, or raise the maximum to ${count + adds}`;
  return { constraint: `at most ${maxCount} in all states, there are ${count} and ${adds} would be added`, nearest, notBefore: null };
}

function rateBroken({ rate }: Bound, { actions }: BoundHistory, now: number): Broken | null {
  // An action dated after `now` (clocks differ) counts as just made.
  const recent = actions.map((action) => Math.min(action.at, now)).filter((at) => at > now - rate.windowMs);
  if (recent.length < rate.actions) return null;
  recent.sort((a, b) => b - a);
  const notBefore = recent[rate.actions - 1]! + rate.windowMs;
  return {
    constraint: `at most ${rate.actions} actions in ${seconds(rate.windowMs)}, there were ${recent.length}`,
    nearest: `wait until ${iso(notBefore)}`,
    notBefore,
  };
}

function breakerBroken({ breaker }: Bound, { actions }: BoundHistory, now: number): Broken | null {
  const ended = actions.filter((action) => action.outcome !== "pending").sort((a, b) => (b.endedAt ?? b.at) - (a.endedAt ?? a.at));
  const lastSuccess = ended.findIndex((action) => action.outcome === "succeeded");
  const failures = lastSuccess === -1 ? ended : ended.slice(0, lastSuccess);
  if (failures.length < breaker.failures) return null;
  const lastFailureAt = failures[0]!.endedAt ?? failures[0]!.at;
  const notBefore = lastFailureAt + breaker.openMs;
  const constraint = `the breaker opened after ${failures.length} failures in a row (${breaker.failures} allowed)`;
  if (now < notBefore) return { constraint, nearest: `repair the cause, or wait until ${iso(notBefore)}`, notBefore };
  // Half open: the attempt that decides is under way.
  const trying = actions.some((action) => action.outcome === "pending");
  return trying ? { constraint: `${constraint} and one attempt is under way`, nearest: "wait for its outcome", notBefore: null } : null;
}

function seconds(ms: number): string {
  return `${ms / 1000} s`;
}

function iso(ms: number): string {
  return new Date(ms).toISOString();
}
