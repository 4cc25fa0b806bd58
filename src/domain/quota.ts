/**
 * Quota arithmetic, pure: balances are rows of a project, changed in the order's transaction and recomputed from live objects by a
 * reconciler.
 *
 * Invariants (I1): reserved is never negative and never above the quota by a reservation; what was reserved is released exactly once. A
 * quota that was lowered below what is reserved refuses further reservations and takes nothing away.
 */
import { assert } from "#domain/error.ts";
import type { Refusal } from "#domain/error.ts";

export const quotaDimensions = ["machines", "vcpus", "memoryMiB", "segments", "exposures"] as const;
export type QuotaDimension = (typeof quotaDimensions)[number];

/** Amounts by dimension: whole numbers, zero or more. A missing one is zero. */
export type QuotaAmounts = Readonly<Partial<Record<QuotaDimension, number>>>;

export interface QuotaBalance {
  readonly quota: Readonly<Record<QuotaDimension, number>>;
  readonly reserved: Readonly<Record<QuotaDimension, number>>;
}

/** What new projects get. */
export const defaultQuota: Readonly<Record<QuotaDimension, number>> = {
  machines: 500,
  vcpus: 1_000,
  memoryMiB: 1_048_576,
  segments: 500,
  exposures: 500,
};

export function emptyBalance(quota: Readonly<Record<QuotaDimension, number>>): QuotaBalance {
  return { quota, reserved: { machines: 0, vcpus: 0, memoryMiB: 0, segments: 0, exposures: 0 } };
}

export type Reservation =
  | { readonly ok: true; readonly balance: QuotaBalance }
  | { readonly ok: false; readonly refusals: readonly Refusal[] };

/** All of `delta` or nothing. `source` names the quota for the refusal, e.g. "quota of project shop". */
export function reserve(balance: QuotaBalance, delta: QuotaAmounts, source: string): Reservation {
  checkAmounts(delta);
  const refusals: Refusal[] = [];
  for (const dimension of quotaDimensions) {
    const wanted = delta[dimension] ?? 0;
    const free = balance.quota[dimension] - balance.reserved[dimension];
    if (wanted > 0 && wanted > free) refusals.push(exceeded(dimension, wanted, balance, source));
  }
  if (refusals.length > 0) return { ok: false, refusals };
  return { ok: true, balance: changed(balance, delta, 1) };
}

/** Gives back what was reserved. Releasing more than is reserved is an error of ours: it throws and changes nothing. */
export function release(balance: QuotaBalance, delta: QuotaAmounts): QuotaBalance {
  checkAmounts(delta);
  for (const dimension of quotaDimensions) {
    const given = delta[dimension] ?? 0;
    assert(given <= balance.reserved[dimension], `release of ${given} ${dimension} with ${balance.reserved[dimension]} reserved`);
  }
  return changed(balance, delta, -1);
}

/**
 * A change from one amount to another as one reservation: growth is reserved, shrinkage released, both or none. Used when a vApp
 * changes, so that swapping two machines for two others needs no room for four.
 */
export function exchange(balance: QuotaBalance, before: QuotaAmounts, after: QuotaAmounts, source: string): Reservation {
  checkAmounts(before);
  checkAmounts(after);
  const grow: Partial<Record<QuotaDimension, number>> = {};
  const shrink: Partial<Record<QuotaDimension, number>> = {};
  for (const dimension of quotaDimensions) {
    const difference = (after[dimension] ?? 0) - (before[dimension] ?? 0);
    if (difference > 0) grow[dimension] = difference;
    if (difference < 0) shrink[dimension] = -difference;
  }
  const reservation = reserve(balance, grow, source);
  return reservation.ok ? { ok: true, balance: release(reservation.balance, shrink) } : reservation;
}

/** The truth: the sum over live and in-flight objects. The reconciler compares it with the stored balance. */
export function recompute(quota: Readonly<Record<QuotaDimension, number>>, objects: readonly QuotaAmounts[]): QuotaBalance {
  for (const object of objects) checkAmounts(object);
  return objects.reduce<QuotaBalance>((balance, object) => changed(balance, object, 1), emptyBalance(quota));
}

/** Dimensions in which the two differ, with both figures: an empty list is the proof of I1. */
export function quotaDrift(stored: QuotaBalance, truth: QuotaBalance): { dimension: QuotaDimension; stored: number; truth: number }[] {
  return quotaDimensions
    .map((dimension) => ({ dimension, stored: stored.reserved[dimension], truth: truth.reserved[dimension] }))
    .filter((one) => one.stored !== one.truth);
}

function changed(balance: QuotaBalance, delta: QuotaAmounts, sign: 1 | -1): QuotaBalance {
  const reserved = { ...balance.reserved };
  for (const dimension of quotaDimensions) reserved[dimension] += sign * (delta[dimension] ?? 0);
  return { quota: balance.quota, reserved };
}

function exceeded(dimension: QuotaDimension, wanted: number, { quota, reserved }: QuotaBalance, source: string): Refusal {
  const free = Math.max(0, quota[dimension] - reserved[dimension]);
  return {
    constraint: `${wanted} ${dimension} are needed and ${free} are free: ${reserved[dimension]} of ${quota[dimension]} are reserved`,
    source: `${source}, ${dimension}`,
    nearest:
      free === 0
        ? `release ${wanted} ${dimension}, or raise the quota to ${reserved[dimension] + wanted}`
        : `ask for at most ${free} ${dimension}, or raise the quota to ${reserved[dimension] + wanted}`,
  };
}

function checkAmounts(amounts: QuotaAmounts): void {
  for (const [dimension, amount] of Object.entries(amounts)) {
    assert((quotaDimensions as readonly string[]).includes(dimension), `there is a quota dimension ${dimension}`);
    assert(Number.isSafeInteger(amount) && amount >= 0, `an amount of ${dimension} is a whole number of at least 0, not ${amount}`);
  }
}
