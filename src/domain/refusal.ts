/** Builds the refusals of invariant I10 from what validators know: the nearest known name, the issues of a zod schema. */
import type { z } from "zod";
import type { Refusal } from "#domain/error.ts";

const maxListedNames = 12;

/** "did you mean" for names: the closest one when it is close, else the list of what is known. */
export function nearestName(name: string, known: readonly string[], noun: string): string {
  if (known.length === 0) return `leave it out: no ${noun} is known here`;
  const ranked = known.map((candidate) => ({ candidate, distance: editDistance(name, candidate) }));
  ranked.sort((a, b) => a.distance - b.distance || (a.candidate < b.candidate ? -1 : 1));
  const best = ranked[0]!;
  if (best.distance <= Math.max(1, Math.floor(name.length / 2))) return `use "${best.candidate}"`;
  const listed = [...known].sort().slice(0, maxListedNames).join(", ");
  return `use one of the known: ${listed}${known.length > maxListedNames ? ", ..." : ""}`;
}

/** Levenshtein distance; names are short, so the quadratic table is small. */
export function editDistance(a: string, b: string): number {
  let previous = Array.from({ length: b.length + 1 }, (_, i) => i);
  for (let i = 1; i <= a.length; i++) {
    const current = [i];
    for (let j = 1; j <= b.length; j++) {
      const replaced = previous[j - 1]! + (a[i - 1] === b[j - 1] ? 0 : 1);
      current.push(Math.min(replaced, previous[j]! + 1, current[j - 1]! + 1));
    }
    previous = current;
  }
  return previous[b.length]!;
}

/** One refusal an issue. `source` names the document, the path inside it is appended. */
export function refusalsOfIssues(issues: readonly z.core.$ZodIssue[], source: string): Refusal[] {
  return issues.map((issue) => {
    const path = issue.path.map(String).join(".");
    const where = path === "" ? source : `${source}, ${path}`;
    return { constraint: constraintOf(issue, path), source: where, nearest: nearestOf(issue) };
  });
}

function constraintOf(issue: z.core.$ZodIssue, path: string): string {
  if (issue.code === "unrecognized_keys") return `${path || "the document"} has no field ${quoted(issue.keys)}`;
  if (issue.code === "invalid_key")
    return `${path || "the document"}: the name is not ${issue.issues.map((inner) => inner.message).join(", ")}`;
  return `${path || "the document"}: ${issue.message}`;
}

function nearestOf(issue: z.core.$ZodIssue): string {
  switch (issue.code) {
    case "unrecognized_keys":
      return `remove ${quoted(issue.keys)}`;
    case "too_small":
      return `use at least ${issue.minimum}`;
    case "too_big":
      return `use at most ${issue.maximum}`;
    case "invalid_value":
      return `use one of: ${issue.values.map(String).join(", ")}`;
    case "invalid_type":
      return issue.input === undefined ? `give it as ${issue.expected}` : `write it as ${issue.expected}`;
    case "invalid_format":
      return issue.pattern === undefined ? `write it in the format ${issue.format}` : `write it so that it matches ${issue.pattern}`;
    case "invalid_key":
      return `choose ${issue.issues.map((inner) => inner.message).join(", ")}`;
    default:
      return `change it so that this holds: ${issue.message}`;
  }
}

function quoted(names: readonly string[]): string {
  return names.map((name) => `"${name}"`).join(", ");
}
