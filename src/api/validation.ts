/**
 * Requests are checked with the very schemas of `domain`, not with JSON schemas made of them: a union of request shapes with defaults
 * is more than a JSON schema validator can fill in, and a refusal has to name the constraint, its source and what would be accepted.
 * Answers, the larger side, go through compiled JSON schemas (`schemas.ts`).
 */
import type { z } from "zod";
import { AppError } from "#domain/error.ts";
import { refusalsOfIssues } from "#domain/refusal.ts";

const maxRefusals = 20;

/** The parsed value; throws `invalid_input` with one refusal an issue. `source` says what was checked: `body`, `query`. */
export function parsed<T extends z.ZodType>(schema: T, value: unknown, source: string): z.output<T> {
  const result = schema.safeParse(value);
  if (result.success) return result.data;
  const detail = refusalsOfIssues(flatten(result.error.issues), source).slice(0, maxRefusals);
  throw new AppError("invalid_input", `the ${source} is not valid: ${detail.map(({ constraint }) => constraint).join("; ")}`, { detail });
}

/** Of a union only the alternative that was meant is worth talking about: the one with the fewest issues. */
function flatten(issues: readonly z.core.$ZodIssue[]): z.core.$ZodIssue[] {
  return issues.flatMap((issue) => {
    if (issue.code !== "invalid_union" || issue.errors.length === 0) return [issue];
    const alternatives = issue.errors.map(flatten).toSorted((a, b) => a.length - b.length);
    return alternatives[0]!.map((inner) => ({ ...inner, path: [...issue.path, ...inner.path] }));
  });
}
