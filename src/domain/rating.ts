/**
 * Rating: ledger entries and a rate card in, lines of a bill out. Pure, in decimals.
 *
 * Invariants (I2): every interval of every resource is charged exactly once, at the size and state then true, at the price then valid;
 * the intervals of a period tile it; rating again gives the same bytes; rating two halves of a period gives the same sum as rating
 * the whole. Nothing is rounded but the total of a statement: a line carries `exact`, the product of price, quantity and
 * milliseconds, and sums are made from those. Its `amount` is for reading.
 *
 * Times are milliseconds since the epoch, UTC; intervals are [from, to). A late discovery is an entry with an earlier `effectiveAt`: what
 * is true at a moment is said by the entry with the latest (effectiveAt, seq) up to it.
 */
import { Decimal } from "decimal.js";
import { AppError } from "#domain/error.ts";
import type { Refusal } from "#domain/error.ts";
import type { Meter, Prices, RateCard } from "#domain/rate-card.ts";

/** Its own precision, because the library's default is shared by everything in the process: 60 digits hold any product here exactly. */
const Exact = Decimal.clone({ precision: 60, rounding: Decimal.ROUND_HALF_EVEN });

const hourMs = 3_600_000;

/** Hours of a month in prices per month. */
export const hoursPerMonth = 730;

/** How large a resource is. Storage is what its disks hold. */
export type LedgerSize =
  | {
      readonly type: "machine";
      readonly kind: "vm" | "container";
      readonly vcpus: number;
      readonly memoryMiB: number;
      readonly storageMiB: number;
    }
  | { readonly type: "exposure" };

/** `running` pays for everything, `stopped` only for storage, `released` for nothing any more. */
export type LedgerState = "running" | "stopped" | "released";

export interface LedgerEntry {
  readonly resource: string;
  /** Counts up per resource in the order of recording. */
  readonly seq: number;
  readonly effectiveAt: number;
  readonly size: LedgerSize;
  readonly state: LedgerState;
}

export interface RatedLine {
  readonly resource: string;
  readonly meter: Meter;
  /** Null for meters that do not tell kinds apart. */
  readonly kind: "vm" | "container" | null;
  readonly from: number;
  readonly to: number;
  /** In the unit of the meter: vCPUs, GiB, machines, exposures. Decimal. */
  readonly quantity: string;
  readonly unitPrice: string;
  /** unitPrice * quantity * milliseconds, without rounding; a total is the sum of these divided by the milliseconds of an hour. */
  readonly exact: string;
  /** For reading, to ten places. Do not sum. */
  readonly amount: string;
}

export interface RateInput {
  readonly entries: readonly LedgerEntry[];
  readonly card: RateCard;
  readonly from: number;
  readonly to: number;
}

/** Lines by resource, time and meter. Throws `conflict` when the card has no prices for a charged moment. */
export function rate({ entries, card, from, to }: RateInput): RatedLine[] {
  const lines: RatedLine[] = [];
  for (const [resource, own] of byResource(entries)) {
    for (const interval of intervalsOf(own, from, to)) {
      const usage = usageOf(interval.entry.size, interval.entry.state);
      if (usage.length > 0) lines.push(...pricedLines(resource, usage, interval, card));
    }
  }
  return lines;
}

/** The total of a statement, rounded once, half to even, to the places of the currency. */
export function statementTotal(lines: readonly RatedLine[], places = 2): string {
  return exactSum(lines).div(hourMs).toFixed(places, Decimal.ROUND_HALF_EVEN);
}

/** The sum of `exact` over lines: what two ways of rating the same time must agree on. */
export function exactTotal(lines: readonly RatedLine[]): string {
  return exactSum(lines).toFixed();
}

/** What these things cost an hour in that state at the prices valid at `at`. Exact decimal. */
export function costPerHour(sizes: readonly LedgerSize[], card: RateCard, at: number, state: LedgerState = "running"): string {
  return hourly(sizes, card, at, state).toFixed();
}

function hourly(sizes: readonly LedgerSize[], card: RateCard, at: number, state: LedgerState): Decimal {
  const prices = pricesAt(card, at).prices;
  const costs = sizes.flatMap((size) => usageOf(size, state).map((use) => priceOf(prices, use).times(use.quantity)));
  return costs.reduce((sum, cost) => sum.plus(cost), new Exact(0));
}

interface Usage {
  readonly meter: Meter;
  readonly kind: "vm" | "container" | null;
  readonly quantity: Decimal;
}

interface Interval {
  readonly from: number;
  readonly to: number;
  readonly entry: LedgerEntry;
}

/** What a resource of this size uses in this state; nothing with quantity zero. */
function usageOf(size: LedgerSize, state: LedgerState): Usage[] {
  if (state === "released") return [];
  if (size.type === "exposure") return state === "running" ? [{ meter: "exposure.hour", kind: null, quantity: new Exact(1) }] : [];
  const storage: Usage = { meter: "storage.gib.hour", kind: null, quantity: new Exact(size.storageMiB).div(1024) };
  const running: Usage[] = [
    { meter: "machine.hour", kind: size.kind, quantity: new Exact(1) },
    { meter: "memory.gib.hour", kind: size.kind, quantity: new Exact(size.memoryMiB).div(1024) },
    { meter: "vcpu.hour", kind: size.kind, quantity: new Exact(size.vcpus) },
  ];
  return (state === "running" ? [...running, storage] : [storage]).filter((use) => !use.quantity.isZero());
}

function byResource(entries: readonly LedgerEntry[]): [string, LedgerEntry[]][] {
  const groups = new Map<string, LedgerEntry[]>();
  for (const entry of entries) {
    const own = groups.get(entry.resource);
    if (own === undefined) groups.set(entry.resource, [entry]);
    else own.push(entry);
  }
  return [...groups].sort(([a], [b]) => (a < b ? -1 : 1));
}

/** Tiles the part of [from, to) in which the resource exists. Entries that change nothing start no new interval. */
function intervalsOf(entries: readonly LedgerEntry[], from: number, to: number): Interval[] {
  const ordered = [...entries].sort((a, b) => a.effectiveAt - b.effectiveAt || a.seq - b.seq);
  const intervals: Interval[] = [];
  for (const [index, entry] of ordered.entries()) {
    const start = Math.max(entry.effectiveAt, from);
    const end = Math.min(ordered[index + 1]?.effectiveAt ?? to, to);
    if (start >= end) continue;
    const last = intervals.at(-1);
    if (last !== undefined && sameCharge(last.entry, entry)) intervals[intervals.length - 1] = { ...last, to: end };
    else intervals.push({ from: start, to: end, entry });
  }
  return intervals;
}

function sameCharge(a: LedgerEntry, b: LedgerEntry): boolean {
  if (a.state !== b.state || a.size.type !== b.size.type) return false;
  if (a.size.type === "exposure" || b.size.type === "exposure") return true;
  const same = a.size.kind === b.size.kind && a.size.vcpus === b.size.vcpus;
  return same && a.size.memoryMiB === b.size.memoryMiB && a.size.storageMiB === b.size.storageMiB;
}

/** Cuts the interval where the prices change. */
function pricedLines(resource: string, usage: readonly Usage[], interval: Interval, card: RateCard): RatedLine[] {
  const lines: RatedLine[] = [];
  let from = interval.from;
  while (from < interval.to) {
    const valid = pricesAt(card, from);
    const to = Math.min(interval.to, valid.to ?? interval.to);
    for (const use of usage) lines.push(lineOf(resource, use, priceOf(valid.prices, use), from, to));
    from = to;
  }
  return lines;
}

function lineOf(resource: string, use: Usage, price: Decimal, from: number, to: number): RatedLine {
  const exact = price.times(use.quantity).times(to - from);
  return {
    resource,
    meter: use.meter,
    kind: use.kind,
    from,
    to,
    quantity: use.quantity.toFixed(),
    unitPrice: price.toFixed(),
    exact: exact.toFixed(),
    amount: exact.div(hourMs).toFixed(10, Decimal.ROUND_HALF_EVEN),
  };
}

function pricesAt(card: RateCard, at: number): RateCard["rates"][number] {
  const found = card.rates.find((one) => one.from <= at && (one.to === null || at < one.to));
  if (found !== undefined) return found;
  const when = new Date(at).toISOString();
  const refusal: Refusal = {
    constraint: `the rate card ${card.name} has no prices for ${when}`,
    source: `rate card ${card.name}`,
    nearest: `add prices that are valid at ${when}`,
  };
  throw new AppError("conflict", refusal.constraint, { detail: [refusal] });
}

function priceOf(prices: Prices, use: Usage): Decimal {
  const price = prices[use.meter];
  if (typeof price === "string") return new Exact(price);
  return new Exact(price[use.kind ?? "vm"]);
}

function exactSum(lines: readonly RatedLine[]): Decimal {
  return lines.reduce((sum, line) => sum.plus(line.exact), new Exact(0));
}
