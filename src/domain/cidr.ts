/**
 * IPv4 prefixes and addresses: arithmetic and allocation, pure. Addresses are text at every interface (`10.64.3.7`), prefixes as
 * `10.64.3.0/24` with all host bits zero. Allocation takes the lowest free one, so it is deterministic.
 */
import { AppError, assert } from "#domain/error.ts";

/** A prefix taken apart; `network` is an unsigned 32-bit number. */
export interface Prefix {
  readonly network: number;
  readonly length: number;
}

/** Throws `invalid_input` when the text is no prefix or has host bits set. */
export function parsePrefix(text: string): Prefix {
  const match = /^([0-9.]+)\/(\d|[12]\d|3[0-2])$/.exec(text);
  const network = match === null ? null : addressNumber(match[1]!);
  if (match === null || network === null) throw invalid(`"${text}" is no IPv4 prefix`, "write it as 10.64.0.0/16");
  const length = Number(match[2]);
  const cleared = networkOf(network, length);
  if (cleared !== network) throw invalid(`"${text}" has host bits set`, `use ${addressText(cleared)}/${length}`);
  return { network, length };
}

export function formatPrefix(prefix: Prefix): string {
  return `${addressText(prefix.network)}/${prefix.length}`;
}

/** Throws `invalid_input` when the text is no IPv4 address in dotted decimal without leading zeros. */
export function parseAddress(text: string): number {
  const number = addressNumber(text);
  if (number === null) throw invalid(`"${text}" is no IPv4 address`, "write it as 10.64.0.1");
  return number;
}

/** How many addresses a prefix has, network and broadcast included. */
export function prefixSize(prefix: string): number {
  return 2 ** (32 - parsePrefix(prefix).length);
}

export function prefixContains(prefix: string, address: string): boolean {
  const { network, length } = parsePrefix(prefix);
  return networkOf(parseAddress(address), length) === network;
}

export function prefixesOverlap(a: string, b: string): boolean {
  return overlap(parsePrefix(a), parsePrefix(b));
}

/** The nth address of a prefix; 0 is the network itself. */
export function addressNth(prefix: string, n: number): string {
  const { network } = parsePrefix(prefix);
  assert(Number.isInteger(n) && n >= 0 && n < prefixSize(prefix), `${prefix} has an address number ${n}`);
  return addressText(network + n);
}

/** The lowest prefix of this length in the pool that overlaps none of `taken`. Throws `quota_exceeded` when the pool is used up. */
export function allocatePrefix(pool: string, length: number, taken: readonly string[]): string {
  const { network, length: poolLength } = parsePrefix(pool);
  if (!Number.isInteger(length) || length < poolLength || length > 32) {
    throw invalid(`a /${length} cannot be taken from ${pool}`, `use a length from ${poolLength} to 32`);
  }
  const size = 2 ** (32 - length);
  const end = network + 2 ** (32 - poolLength);
  // Sorted by network, one pass: each taken prefix moves the candidate behind itself.
  const obstacles = taken.map(parsePrefix).sort((a, b) => a.network - b.network);
  let candidate = network;
  for (const obstacle of obstacles) {
    if (overlap({ network: candidate, length }, obstacle)) {
      candidate = Math.ceil((obstacle.network + 2 ** (32 - obstacle.length)) / size) * size;
    }
    if (candidate + size > end) break;
  }
  if (candidate + size <= end) return addressText(candidate) + `/${length}`;
  throw exhausted(
    `the pool ${pool} has no free /${length} left`,
    `pool ${pool}`,
    "delete a vApp that has segments of this pool, or enlarge the pool",
  );
}

/** The lowest free host address; never the network or the broadcast address. Throws `quota_exceeded` when the prefix is used up. */
export function allocateAddress(prefix: string, taken: readonly string[]): string {
  const { network } = parsePrefix(prefix);
  const size = prefixSize(prefix);
  const used = new Set(taken.map(parseAddress));
  // /31 and /32 have no network and broadcast address to keep free (RFC 3021).
  const first = size <= 2 ? 0 : 1;
  const last = size <= 2 ? size - 1 : size - 2;
  for (let n = first; n <= last; n++) {
    if (!used.has(network + n)) return addressText(network + n);
  }
  throw exhausted(
    `the prefix ${prefix} has no free address left`,
    `prefix ${prefix}`,
    "use a smaller count, or a segment with a larger prefix",
  );
}

/**
 * A locally administered unicast MAC address (`02:...`) that depends on nothing but the key, e.g. segment and address, so
 * a repeated step gives the same one. 40 bits of FNV-1a: among the 253 machines of a segment two agree once in 3 * 10^7 segments.
 */
export function macOf(key: string): string {
  let hash = 0xcbf29ce484222325n;
  for (const byte of new TextEncoder().encode(key)) hash = BigInt.asUintN(64, (hash ^ BigInt(byte)) * 0x100000001b3n);
  // The upper bits are folded in, because the lower ones of FNV alone mix the first bytes of the key least.
  const folded = BigInt.asUintN(40, hash ^ (hash >> 40n));
  const digits = folded.toString(16).padStart(10, "0");
  return `02:${digits.match(/../g)!.join(":")}`;
}

function addressNumber(text: string): number | null {
  const parts = text.split(".");
  if (parts.length !== 4 || !parts.every((part) => /^(0|[1-9]\d{0,2})$/.test(part) && Number(part) <= 255)) return null;
  return parts.reduce((sum, part) => sum * 256 + Number(part), 0);
}

function addressText(number: number): string {
  return [24, 16, 8, 0].map((shift) => (number >>> shift) & 255).join(".");
}

function networkOf(address: number, length: number): number {
  const size = 2 ** (32 - length);
  return Math.floor(address / size) * size;
}

function overlap(a: Prefix, b: Prefix): boolean {
  const length = Math.min(a.length, b.length);
  return networkOf(a.network, length) === networkOf(b.network, length);
}

function invalid(constraint: string, nearest: string): AppError {
  return new AppError("invalid_input", constraint, { detail: [{ constraint, source: "IPv4", nearest }] });
}

function exhausted(constraint: string, source: string, nearest: string): AppError {
  return new AppError("quota_exceeded", constraint, { detail: [{ constraint, source, nearest }] });
}
