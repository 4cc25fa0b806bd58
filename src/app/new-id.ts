import { randomBytes } from "node:crypto";
import type { Clock } from "#domain/context.ts";
import { makeId, type Id, type IdKind } from "#domain/id.ts";

/** A fresh id: time from the context's clock, randomness from the system. */
export function newId<K extends IdKind>(kind: K, clock: Clock): Id<K> {
  return makeId(kind, clock.now(), randomBytes(10));
}
