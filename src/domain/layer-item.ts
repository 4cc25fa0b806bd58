/** How one line of the layers view is made: comparison, age, and who set what is desired. */
import type { Fact, Layer } from "#domain/fact.ts";
import { canonicalJson, type Json } from "#domain/json.ts";
import type { LayerFacts, LayerOrder } from "#domain/layer-facts.ts";
import type { LayerItem, LayerSubjectKind, LayerWhy } from "#domain/layer-view.ts";

/** What was seen, by whom and when. */
export interface Seen {
  readonly value: Json;
  readonly source: string;
  readonly at: number;
  /** After this long it is stale; null: a record, which holds until it is changed. */
  readonly staleMs: number | null;
}

export interface ItemInput {
  readonly subject: { readonly kind: LayerSubjectKind; readonly name: string };
  readonly name: string;
  readonly desired: Json;
  readonly seen: Seen | null;
  /** When equality of the two values is not the question. */
  readonly agrees?: boolean | null;
  readonly why: LayerWhy | null;
  readonly impact?: string | null;
}

export function layerItem(at: number, input: ItemInput): LayerItem {
  const { subject, name, desired, seen } = input;
  const comparable = desired !== null && seen !== null;
  const agrees = input.agrees !== undefined ? input.agrees : comparable ? canonicalJson(desired) === canonicalJson(seen.value) : null;
  return {
    subject,
    name,
    desired: desired as LayerItem["desired"],
    observed: (seen?.value ?? null) as LayerItem["observed"],
    agrees,
    source: seen?.source ?? null,
    observedAt: seen === null ? null : new Date(seen.at).toISOString(),
    stale: seen !== null && seen.staleMs !== null && at - seen.at > seen.staleMs,
    why: input.why,
    impact: input.impact ?? null,
  };
}

export function factSeen(facts: readonly Fact[], layer: Layer, name: string, staleMs: number): Seen | null {
  const fact = facts.find((candidate) => candidate.layer === layer && candidate.name === name);
  if (fact === undefined) return null;
  return { value: fact.value as Json, source: fact.source, at: Date.parse(fact.observedAt), staleMs };
}

/** What our own records say, read just now. */
export function recordSeen(facts: LayerFacts, value: Json, source: string): Seen {
  return { value, source, at: facts.at, staleMs: null };
}

/** The newest order that carried out one of these kinds of step on the subject; else the deployment. */
export function setBy(facts: LayerFacts, kinds: readonly string[], subject: string): LayerOrder | null {
  const found = facts.setBy
    .filter((entry) => entry.subject === subject && kinds.includes(entry.kind))
    .map(({ order }) => order)
    .toSorted((a, b) => b.createdAt - a.createdAt);
  return found[0] ?? facts.orders.at(-1) ?? null;
}

export function whyOf(text: string, order: LayerOrder | null): LayerWhy {
  return {
    text,
    order: order?.id ?? null,
    process: order?.process ?? null,
    principal: order?.principal ?? null,
    policy: order?.policy ?? null,
  };
}

/** `offering shop 1.0.0, tier web`: where a tier says so. */
export function declaredBy(facts: LayerFacts, tier?: string): string {
  return tier === undefined ? facts.blueprint.source : `${facts.blueprint.source}, tier ${tier}`;
}
