/** How figures and tables read for people. Pure, so that tests need no terminal. */
import { stripVTControlCharacters } from "node:util";

export interface Column<T> {
  readonly title: string;
  readonly of: (row: T) => string;
}

/** Columns as wide as their widest cell, the last one as it is. Colours do not count. */
export function table<T>(rows: readonly T[], columns: readonly Column<T>[]): string {
  const lines = [columns.map(({ title }) => title), ...rows.map((row) => columns.map(({ of }) => of(row)))];
  const widths = columns.map((_, i) => Math.max(...lines.map((line) => visibleLength(line[i]!))));
  const pad = (cell: string, i: number) => (i === columns.length - 1 ? cell : cell + " ".repeat(widths[i]! - visibleLength(cell)));
  return lines.map((line) => line.map(pad).join("  ").trimEnd()).join("\n");
}

function visibleLength(text: string): number {
  return stripVTControlCharacters(text).length;
}

/** `3 s`, `5 min`, `2 h`, `4 d`: the largest unit that fits. */
export function duration(ms: number): string {
  const seconds = Math.max(0, ms) / 1_000;
  if (seconds < 10) return `${seconds.toFixed(1)} s`;
  if (seconds < 120) return `${Math.round(seconds)} s`;
  if (seconds < 7_200) return `${Math.round(seconds / 60)} min`;
  return seconds < 172_800 ? `${Math.round(seconds / 3_600)} h` : `${Math.round(seconds / 86_400)} d`;
}

export function age(time: string | null, now: number): string {
  return time === null ? "never" : `${duration(now - Date.parse(time))} ago`;
}

export function size(mebibytes: number): string {
  return mebibytes % 1_024 === 0 ? `${mebibytes / 1_024} GiB` : `${mebibytes} MiB`;
}

export function bytes(count: number): string {
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  let value = count;
  let unit = 0;
  while (value >= 1_024 && unit < units.length - 1) {
    value /= 1_024;
    unit += 1;
  }
  return `${unit === 0 ? value : value.toFixed(1)} ${units[unit]}`;
}

/** Decimal text without the zeros that say nothing: `0.012000` is `0.012`. */
export function amount(decimal: string): string {
  return decimal.includes(".") ? decimal.replace(/\.?0+$/, "") : decimal;
}

const rateDigits = 6;

/** A price for an hour, for people: `0.04384326171875` is `0.043843`. Data and bills have every digit. */
export function rate(decimal: string): string {
  return amount(Number(decimal).toFixed(rateDigits));
}

export function plural(count: number, noun: string): string {
  return `${count} ${noun}${count === 1 ? "" : "s"}`;
}
