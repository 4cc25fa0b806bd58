/**
 * JSON as a type, and its canonical text: keys sorted by UTF-16 code unit, no white space (RFC 8785 for what we use). Equal values give
 * equal bytes, so plans, statements and audit rows can be hashed. Hashing itself needs a platform and is handed in as a function.
 */

export type Json = null | boolean | number | string | readonly Json[] | { readonly [key: string]: Json };

/** `unknown` is accepted because domain types have optional members; what JSON cannot say is refused by throwing. */
export function canonicalJson(value: unknown): string {
  if (value === null || typeof value === "boolean" || typeof value === "string") return JSON.stringify(value);
  if (typeof value === "number") {
    if (!Number.isFinite(value)) throw new Error(`JSON has no number ${value}`);
    return JSON.stringify(value);
  }
  if (Array.isArray(value)) return `[${value.map((item: unknown) => canonicalJson(item)).join(",")}]`;
  if (typeof value === "object" && isPlain(value)) {
    const members = Object.entries(value)
      // A member that is undefined is the same as none, as in JSON.stringify.
      .filter(([, member]) => member !== undefined)
      .sort(([a], [b]) => (a < b ? -1 : 1));
    return `{${members.map(([key, member]) => `${JSON.stringify(key)}:${canonicalJson(member)}`).join(",")}}`;
  }
  throw new Error(`JSON has no ${typeof value === "object" ? value.constructor.name : typeof value}`);
}

/** What is hashed for a value of one kind: the kind separates domains, so a plan never has the hash of an order. */
export function hashInput(kind: string, value: unknown): string {
  return `stratiform:${kind}:1\n${canonicalJson(value)}`;
}

/** `digest` turns text into its hash in hex, e.g. SHA-256. */
export function hashOf(kind: string, value: unknown, digest: (text: string) => string): string {
  return digest(hashInput(kind, value));
}

function isPlain(value: object): boolean {
  const prototype: unknown = Object.getPrototypeOf(value);
  return prototype === Object.prototype || prototype === null;
}
