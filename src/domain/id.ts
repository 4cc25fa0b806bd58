/**
 * Ids are UUID v7: sortable by creation time, unique without coordination. The database stores the bare uuid; the type prefix
 * (`vapp_…`) exists only at the API edge. Time and randomness are arguments: nothing here calls a clock.
 */
import { AppError } from "#domain/error.ts";

/** Prefix of each noun at the API edge. */
export const idPrefixes = {
  organization: "org",
  project: "prj",
  principal: "prn",
  grant: "grt",
  policy: "pol",
  offering: "off",
  image: "img",
  site: "site",
  endpoint: "ep",
  plan: "plan",
  order: "ord",
  run: "run",
  vapp: "vapp",
  machine: "mach",
  segment: "seg",
  address: "addr",
  exposure: "exp",
  secret: "sec",
  snapshot: "snap",
  installation: "inst",
} as const;

export type IdKind = keyof typeof idPrefixes;

/** A bare uuid, branded with the noun it identifies. */
export type Id<K extends IdKind> = string & { readonly __id: K };

const uuidPattern = /^[0-9a-f]{8}-[0-9a-f]{4}-[1-8][0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/;

/** Makes a UUID v7. `random` is 10 bytes of randomness, `ms` the time in milliseconds since the epoch. */
export function makeId<K extends IdKind>(kind: K, ms: number, random: Uint8Array): Id<K> {
  if (random.length < 10) throw new Error(`makeId(${kind}) needs 10 random bytes`);
  const bytes = new Uint8Array(16);
  let rest = Math.floor(ms);
  for (let i = 5; i >= 0; i--) {
    bytes[i] = rest % 256;
    rest = Math.floor(rest / 256);
  }
  bytes.set(random.subarray(0, 10), 6);
  bytes[6] = (bytes[6]! & 0x0f) | 0x70;
  bytes[8] = (bytes[8]! & 0x3f) | 0x80;
  const hex = [...bytes].map((b) => b.toString(16).padStart(2, "0")).join("");
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-${hex.slice(12, 16)}-${hex.slice(16, 20)}-${hex.slice(20)}` as Id<K>;
}

/** `vapp_0192…` for the API edge. */
export function formatId(kind: IdKind, uuid: string): string {
  return `${idPrefixes[kind]}_${uuid}`;
}

/** Parses an id of the API edge; throws `invalid_input` naming the expected form. */
export function parseId<K extends IdKind>(kind: K, text: string): Id<K> {
  const prefix = `${idPrefixes[kind]}_`;
  const uuid = text.startsWith(prefix) ? text.slice(prefix.length) : text;
  if (!uuidPattern.test(uuid)) {
    throw new AppError("invalid_input", `"${text}" is not the id of a ${kind}`, {
      detail: [
        { constraint: `an id of a ${kind} looks like ${prefix}<uuid>`, source: "id format", nearest: `use the id as listed by the API` },
      ],
    });
  }
  return uuid as Id<K>;
}

export function isUuid(text: string): boolean {
  return uuidPattern.test(text);
}
