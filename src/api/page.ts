/** Lists: pages of items and the cursor of the next one. */
import { z } from "zod";
import { AppError } from "#domain/error.ts";
import { nearestName } from "#domain/refusal.ts";

/** The answer of a list; `id` names it in the OpenAPI document. */
export function listOf<T extends z.ZodType>(item: T, id: string) {
  return z
    .object({
      items: z.array(item),
      next: z.string().nullable().meta({ description: "Give it as `after` to get the next page; null: this was the last" }),
    })
    .meta({ id });
}

/** A full page may have a successor, any other has none. */
export function page<T extends { readonly id: string | number }>(items: T[], limit: number): { items: T[]; next: string | null } {
  const last = items.length < limit ? undefined : items.at(-1);
  return { items, next: last === undefined ? null : String(last.id) };
}

/** All there is, in one page. */
export function whole<T>(items: T[]): { items: T[]; next: string | null } {
  return { items, next: null };
}

/** The one with that name; throws `not_found` naming the nearest. */
export function named<T extends { readonly name: string }>(items: readonly T[], name: string, noun: string): T {
  const item = items.find((candidate) => candidate.name === name);
  if (item !== undefined) return item;
  const names = items.map((candidate) => candidate.name);
  const constraint = `there is no ${noun} "${name}"`;
  throw new AppError("not_found", constraint, { detail: [{ constraint, source: `${noun}s`, nearest: nearestName(name, names, noun) }] });
}
