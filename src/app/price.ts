/** Prices as plans and lists show them: the rate card applied to what a vApp is made of. */
import { Decimal } from "decimal.js";
import type { Json } from "#domain/json.ts";
import type { DesiredMachine } from "#domain/plan.ts";
import { parseRateCard } from "#domain/rate-card.ts";
import { costPerHour, hoursPerMonth, type LedgerSize, type LedgerState } from "#domain/rating.ts";
import { machineSize } from "#app/charge.ts";

interface Priced {
  readonly desired: "running" | "stopped" | "deleted";
  readonly machines: readonly DesiredMachine[];
  readonly exposures: readonly unknown[];
}

export interface Price {
  readonly currency: string;
  readonly perHour: string;
  /** A month of 730 hours, to cents. */
  readonly perMonth: string;
}

/** What it costs once it is as desired: stopped machines keep their disks and a stopped vApp its exposures. Nothing for null and deleted. */
export function priceOf(vapp: Priced | null, card: Json, at: Date): Price {
  const parsed = parseRateCard(card);
  const there = vapp === null || vapp.desired === "deleted" ? null : { ...vapp, desired: vapp.desired };
  const cost = (sizes: readonly LedgerSize[], state: LedgerState) => costPerHour(sizes, parsed, at.getTime(), state);
  const machines = cost(there?.machines.map(machineSize) ?? [], there?.desired ?? "released");
  const exposures = cost(there?.exposures.map(() => ({ type: "exposure" })) ?? [], "running");
  const perHour = new Decimal(machines).plus(exposures).toFixed();
  return { currency: parsed.currency, perHour, perMonth: new Decimal(perHour).times(hoursPerMonth).toFixed(2, Decimal.ROUND_HALF_EVEN) };
}
