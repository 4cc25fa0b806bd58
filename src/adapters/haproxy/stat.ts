/**
 * Reading of `show stat <pool> 4 -1`: CSV with a header line, one line a server, an empty line at the end. Strict: a column that is
 * missing, a line that is too short or a figure that is none is an error, never a zero. Columns are found by name, because their number
 * and order differ between versions.
 */
import { isIP } from "node:net";
import type { MemberState } from "#adapter/balancer.ts";
import { AppError } from "#domain/error.ts";

export interface ServerStat {
  readonly pool: string;
  readonly name: string;
  /** Canonical; empty where the balancer knows no address (a host name that does not resolve). */
  readonly address: string;
  readonly port: number;
  readonly state: MemberState;
  /** Requests with the member and requests waiting for it. */
  readonly inFlight: number;
  readonly requestsTotal: number;
  /** Idle connections kept open to it. */
  readonly idle: number;
  readonly weight: number;
  /** Of the last check since it was enabled: `L7OK`, `L4CON` ...; `INI` or empty before the first one. */
  readonly check: string;
}

/** Where the answer to `show stat` begins in the answers to a batch of commands. */
export const statHeader = "# pxname,svname,";
const rowsMax = 1_000;
const columnsMax = 500;
const needed = ["pxname", "svname", "qcur", "scur", "stot", "status", "check_status", "addr", "srv_icur", "uweight"] as const;
type Column = (typeof needed)[number];

/** Throws `endpoint_unreachable` when the answer ends in the middle, `endpoint_refused` when it is not what it should be. */
export function parseStat(text: string): ServerStat[] {
  if (!text.startsWith(statHeader) || !/\n\s*\n$/.test(text))
    throw new AppError("endpoint_unreachable", "the balancer's answer ended in the middle", { internal: text.slice(0, 200) });
  const records = csvRecords(text.slice(2).trimEnd());
  const header = records[0]!;
  const at = Object.fromEntries(needed.map((name) => [name, header.indexOf(name)])) as Record<Column, number>;
  for (const name of needed) if (at[name] < 0) throw malformed(`no column ${name}`);
  return records.slice(1).map((fields, index) => {
    if (fields.length !== header.length) throw malformed(`line ${index + 2} has ${fields.length} fields, not ${header.length}`);
    return serverStat((column) => fields[at[column]]!);
  });
}

function serverStat(field: (column: Column) => string): ServerStat {
  const count = (column: Column) => {
    if (!/^\d{1,15}$/.test(field(column))) throw malformed(`${column} is "${field(column)}"`);
    return Number(field(column));
  };
  // An asterisk marks a check that is under way now.
  const check = field("check_status").replace(/^\* /, "");
  const weight = count("uweight");
  return {
    pool: field("pxname"),
    name: field("svname"),
    ...parseEndpoint(field("addr")),
    state: stateOf(field("status"), weight, check),
    inFlight: count("scur") + count("qcur"),
    requestsTotal: count("stot"),
    idle: field("srv_icur") === "" ? 0 : count("srv_icur"),
    weight,
    check,
  };
}

/**
 * A server without weight takes nothing: that is how one stands here between being added and its first passed check. Until then the
 * balancer itself would call it UP.
 */
function stateOf(status: string, weight: number, check: string): MemberState {
  const word = /^[A-Za-z]+/.exec(status)?.[0] ?? "";
  if (word === "MAINT") return "maintenance";
  if (word === "DRAIN" || word === "NOLB") return "draining";
  if (word === "DOWN") return "down";
  if (word === "UP") return weight > 0 && checkPassed(check) ? "up" : "starting";
  return "unknown";
}

export function checkPassed(check: string): boolean {
  return /^L[467]OKC?$/.test(check);
}

/** `10.64.1.5:80`, `[fd00::5]:80` or nothing. */
function parseEndpoint(text: string): { address: string; port: number } {
  if (text === "") return { address: "", port: 0 };
  const match = /^(?:\[([0-9a-f:.]+)\]|([0-9.]+)):(\d{1,5})$/.exec(text);
  const address = match?.[1] ?? match?.[2] ?? "";
  if (match === null || isIP(address) === 0) throw malformed(`addr is "${text}"`);
  return { address: canonicalAddress(address), port: Number(match[3]) };
}

/** One spelling for each address, so that two can be compared. The argument is an address already. */
export function canonicalAddress(address: string): string {
  return isIP(address) === 6 ? new URL(`http://[${address}]`).hostname.slice(1, -1) : address;
}

/** RFC 4180; a quoted field may hold line ends. */
function csvRecords(text: string): string[][] {
  const records: string[][] = [[]];
  let position = 0;
  while (position <= text.length) {
    const record = records.at(-1)!;
    const quoted = text[position] === '"';
    const match = quoted ? /"((?:[^"]|"")*)"/y : /[^,\n"]*/y;
    match.lastIndex = position;
    const found = match.exec(text);
    if (found === null) throw malformed("a quoted field does not end");
    record.push(quoted ? found[1]!.replaceAll('""', '"') : found[0]);
    position = match.lastIndex;
    if (record.length > columnsMax || records.length > rowsMax) throw malformed("it is too long");
    if (position === text.length) return records;
    if (text[position] === "\n") records.push([]);
    else if (text[position] !== ",") throw malformed("a comma is missing");
    position += 1;
  }
  return records;
}

function malformed(internal: string): AppError {
  return new AppError("endpoint_refused", "the balancer gave an unexpected answer", { internal });
}
