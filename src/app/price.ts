/** Prices as plans and lists show them: the rate card applied to what a vApp is made of. */
import { Decimal } from "decimal.js";
import type { Json } from "#domain/json.ts";
import type { DesiredMachine } from "#domain/plan.ts";
import { parseRateCard } from "#domain/rate-card.ts";
import { costPerHour, hoursPerMonth, type LedgerSize } from "#domain/rating.ts";
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

/** What it costs once it is as desired. Nothing for null and for what is not to run. */
export function priceOf(vapp: Priced | null, card: Json, at: Date): Price {
  const parsed = parseRateCard(card);
  const sizes: LedgerSize[] =
    vapp === null || vapp.desired !== "running"
      ? []
      : [...vapp.machines.map(machineSize), ...vapp.exposures.map(() => ({ type: "exposure" as const }))];
  const perHour = costPerHour(sizes, parsed, at.getTime());
  return { currency: parsed.currency, perHour, perMonth: new Decimal(perHour).times(hoursPerMonth).toFixed(2, Decimal.ROUND_HALF_EVEN) };
}
