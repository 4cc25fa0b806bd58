/** Expressions inside text: where they begin and end, before anything is evaluated. A leaf of `expression.ts`. */
import { AppError } from "#domain/error.ts";

/** Limits of one expression and of the text around it. */
export const expressionLimits = { expressionLength: 1024, textLength: 16_384, depth: 20, nodes: 200 } as const;

/** True when the text holds an expression. */
export function hasExpression(text: string): boolean {
  return /(^|[^$])\$\{/.test(text);
}

export interface Part {
  readonly kind: "text" | "expression";
  readonly text: string;
}

/** Cuts the text at `${` and its matching brace, which is outside of CEL strings and map literals. */
export function splitText(path: string, text: string): Part[] {
  if (text.length > expressionLimits.textLength) {
    throw invalid(path, `a text has at most ${expressionLimits.textLength} characters, this has ${text.length}`, "shorten the text");
  }
  const parts: Part[] = [];
  let literal = "";
  let at = 0;
  while (at < text.length) {
    if (text.startsWith("$${", at)) {
      literal += "${";
      at += 3;
    } else if (text.startsWith("${", at)) {
      const end = endOfExpression(path, text, at + 2);
      if (literal !== "") parts.push({ kind: "text", text: literal });
      literal = "";
      parts.push({ kind: "expression", text: text.slice(at + 2, end) });
      at = end + 1;
    } else {
      literal += text[at];
      at += 1;
    }
  }
  if (literal !== "" || parts.length === 0) parts.push({ kind: "text", text: literal });
  return parts;
}

function endOfExpression(path: string, text: string, start: number): number {
  let depth = 0;
  let quote = "";
  for (let at = start; at < text.length && at - start <= expressionLimits.expressionLength; at++) {
    const char = text[at]!;
    if (quote !== "") {
      if (char === "\\") at += 1;
      else if (char === quote) quote = "";
    } else if (char === "'" || char === '"') quote = char;
    else if (char === "{") depth += 1;
    else if (char === "}") {
      if (depth === 0) return at;
      depth -= 1;
    }
  }
  const limit = expressionLimits.expressionLength;
  throw invalid(
    path,
    `an expression ends with "}" after at most ${limit} characters`,
    `close the expression, or write "$\${" for a literal "\${"`,
  );
}

/** CEL writes `tier.db[0]`; blueprints may write `tier.db.0`, as everywhere else in configuration. */
export function withIndexes(source: string): string {
  return source.replace(/'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*"|([A-Za-z_]\w*|\])((?:\.\d+)+)/g, (all, head?: string, indexes?: string) =>
    head === undefined || indexes === undefined ? all : head + indexes.replace(/\.(\d+)/g, "[$1]"),
  );
}

/** The refusal every error of an expression becomes; `path` is where it stands in the blueprint. */
export function invalid(path: string, constraint: string, nearest: string, cause?: unknown): AppError {
  const detail = [{ constraint, source: path, nearest }];
  return new AppError("invalid_input", `${path}: ${constraint}`, cause === undefined ? { detail } : { detail, cause });
}
