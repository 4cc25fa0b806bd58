/** Rate cards: prices of an hour by meter, with validity. A price changes by a new interval, never by an overwrite. */
import { z } from "zod";
import { AppError } from "#domain/error.ts";
import { refusalsOfIssues } from "#domain/refusal.ts";

export const meters = ["vcpu.hour", "memory.gib.hour", "storage.gib.hour", "machine.hour", "exposure.hour"] as const;
export type Meter = (typeof meters)[number];

/** A decimal amount as text: floating point has no exact cents. */
export const priceSchema = z.string().regex(/^\d{1,9}(\.\d{1,12})?$/, 'a decimal price such as "0.004"');
const byKind = z.strictObject({ vm: priceSchema, container: priceSchema });

/** Every meter has a price, so nothing can be used without one; "0" is a price. */
export const pricesSchema = z.strictObject({
  "vcpu.hour": byKind,
  "memory.gib.hour": byKind,
  /** The flat fee of a running machine. */
  "machine.hour": byKind,
  /** The only one a stopped machine pays. */
  "storage.gib.hour": priceSchema,
  "exposure.hour": priceSchema,
});
export type Prices = z.infer<typeof pricesSchema>;

/** [from, to) in milliseconds since the epoch, UTC; `to` is null for prices without an end. */
export const rateSchema = z.strictObject({ from: z.int(), to: z.int().nullable(), prices: pricesSchema });

export const rateCardSchema = z
  .strictObject({
    name: z.string().regex(/^[a-z][a-z0-9-]{0,62}$/),
    currency: z.string().regex(/^[A-Z]{3}$/, "a currency code of ISO 4217 such as EUR"),
    rates: z.array(rateSchema).min(1).max(1000),
  })
  .refine(
    (card) =>
      card.rates.every((one, index) =>
        one.to === null ? index === card.rates.length - 1 : one.from < one.to && (card.rates[index + 1]?.from ?? one.to) === one.to,
      ),
    {
      error: "each interval starts where the one before it ends; only the last may be without an end",
      path: ["rates"],
    },
  )
  .meta({ id: "RateCard" });
export type RateCard = z.infer<typeof rateCardSchema>;

/** Parses a stored or submitted card; throws `invalid_input` with a refusal for each broken rule. */
export function parseRateCard(document: unknown): RateCard {
  const parsed = rateCardSchema.safeParse(document);
  if (parsed.success) return parsed.data;
  const named = z.object({ name: z.string().max(63) }).safeParse(document);
  const source = named.success ? `rate card ${named.data.name}` : "rate card";
  throw new AppError("invalid_input", `${source} is not valid`, { detail: refusalsOfIssues(parsed.error.issues, source) });
}

/** What a new installation starts with. */
export const defaultRateCard: RateCard = {
  name: "standard",
  currency: "EUR",
  rates: [
    {
      from: 0,
      to: null,
      prices: {
        "vcpu.hour": { vm: "0.008", container: "0.006" },
        "memory.gib.hour": { vm: "0.004", container: "0.003" },
        "machine.hour": { vm: "0.001", container: "0.0005" },
        "storage.gib.hour": "0.0001",
        "exposure.hour": "0.002",
      },
    },
  ],
};
