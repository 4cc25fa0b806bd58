/** Figures and times as people read them. */

const secondMs = 1_000;
const minuteMs = 60 * secondMs;
const hourMs = 60 * minuteMs;
const dayMs = 24 * hourMs;
/** The month of the rate card. */
const hoursPerMonth = 730;

/** How long something took or has been: two units at most. A clock that is a little behind the server's shows no negative time. */
export function duration(ms: number): string {
  const passed = Math.max(0, ms);
  if (passed < secondMs) return `${Math.round(passed)} ms`;
  if (passed < 10 * secondMs) return `${(Math.floor(passed / 100) / 10).toFixed(1)} s`;
  if (passed < minuteMs) return `${Math.floor(passed / secondMs)} s`;
  if (passed < hourMs) return two(passed, minuteMs, "min", secondMs, "s");
  if (passed < dayMs) return two(passed, hourMs, "h", minuteMs, "min");
  return two(passed, dayMs, "d", hourMs, "h");
}

/** The same in whole seconds, for what goes on. */
export function durationRoughly(ms: number): string {
  return ms < minuteMs ? `${Math.max(0, Math.floor(ms / secondMs))} s` : duration(ms);
}

function two(ms: number, large: number, largeUnit: string, small: number, smallUnit: string): string {
  const rest = Math.floor((ms % large) / small);
  return `${Math.floor(ms / large)} ${largeUnit}${rest === 0 ? "" : ` ${rest} ${smallUnit}`}`;
}

/** An age in one unit: what was a moment ago need not be exact, what was long ago even less. */
export function age(ms: number): string {
  if (ms < 2 * secondMs) return "just now";
  if (ms < 2 * minuteMs) return `${Math.floor(ms / secondMs)} s ago`;
  if (ms < 2 * hourMs) return `${Math.floor(ms / minuteMs)} min ago`;
  if (ms < 2 * dayMs) return `${Math.floor(ms / hourMs)} h ago`;
  return `${Math.floor(ms / dayMs)} d ago`;
}

/** Both times of a moment: where the reader is, and the one logs are written in. */
export function moment(iso: string): string {
  const date = new Date(iso);
  const local = date.toLocaleString(undefined, { dateStyle: "medium", timeStyle: "medium" });
  return `${local} local, ${date.toISOString().slice(0, 19).replace("T", " ")} UTC`;
}

/** An amount as the server said it, without zeros that say nothing: at least two decimals, at most six. */
export function amount(text: string): string {
  const value = Number(text);
  return Number.isFinite(value) ? value.toLocaleString("en", { minimumFractionDigits: 2, maximumFractionDigits: 6 }) : text;
}

export function perMonth(perHour: string): string {
  return (Number(perHour) * hoursPerMonth).toLocaleString("en", { minimumFractionDigits: 2, maximumFractionDigits: 2 });
}

export function memory(mib: number): string {
  return mib >= 1_024 ? `${Number((mib / 1_024).toFixed(1))} GiB` : `${mib} MiB`;
}

export function counted(count: number, noun: string): string {
  return `${count} ${noun}${count === 1 ? "" : "s"}`;
}

/** Attribute names of programs as words: `memoryMiB` is "memory MiB", `externalId` "external id". */
export function attribute(name: string): string {
  const [, stem = name, unit = ""] = /^(.+?)(MiB|GiB|Ms)$/.exec(name) ?? [];
  const words = stem.replaceAll(/([a-z])([A-Z])/g, (_, end: string, start: string) => `${end} ${start.toLowerCase()}`);
  return unit === "" ? words : `${words} ${unit}`;
}

/** The value of a fact on one line. */
export function factText(value: unknown): string {
  if (value === null || value === undefined) return "none";
  if (typeof value === "string") return value;
  if (typeof value !== "object") return String(value);
  if (Array.isArray(value)) return value.length === 0 ? "none" : value.map(factText).join(", ");
  return Object.entries(value)
    .map(([name, part]) => `${name} ${factText(part)}`)
    .join(", ");
}
