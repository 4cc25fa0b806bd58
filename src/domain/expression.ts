/**
 * `${...}` expressions of blueprints, in CEL. A string that is one single expression keeps the type of its value; otherwise the
 * values are put into the text. `$${` writes a literal `${`.
 *
 * Invariants: evaluation is pure and bounded (length, depth, an allow-list of functions, no nested loops); a value is never evaluated
 * a second time, so a parameter containing `${...}` stays text; a secret is never a value here, only a typed reference that nothing
 * but a provider call resolves. Every error names the path in the blueprint and the nearest fix.
 *
 * It is not a programming language: no user-defined functions, no regular expressions (their run time has no bound).
 */
import { Environment, EvaluationError, ParseError, TypeError as CelTypeError, serialize } from "@marcbachmann/cel-js";
import type { ASTNode, ParseResult } from "@marcbachmann/cel-js";
import type { AppError } from "#domain/error.ts";
import { expressionLimits, invalid, splitText, withIndexes } from "#domain/expression-text.ts";
import { nearestName } from "#domain/refusal.ts";

/** Stands for the value of a secret until a provider call needs it. */
export interface SecretReference {
  readonly $secret: string;
}

/** Text with secrets inside it, joined only where the secrets are resolved. */
export interface SecretTemplate {
  readonly $template: readonly (string | SecretReference)[];
}

export type Scalar = string | number | boolean;

/** What a configuration entry is after rendering. */
export type ConfigValue = Scalar | SecretReference | SecretTemplate;

/** Facts an expression may read. Whole numbers become CEL's int, other numbers its double. */
export type ExpressionFact = Scalar | null | readonly ExpressionFact[] | { readonly [name: string]: ExpressionFact };

/** Names an expression may use, with their values; made by `expressionScope`. */
export interface ExpressionScope {
  readonly environment: Environment;
  readonly variables: Record<string, unknown>;
  readonly parsed: Map<string, ParseResult>;
}

/** The value of `${secret.NAME}` inside CEL: no operator and no conversion accepts it, it can only be passed on. */
class Secret {
  readonly name: string;
  constructor(name: string) {
    this.name = name;
  }
}

const loopFunctions = new Set(["map", "filter", "all", "exists", "exists_one"]);
const plainFunctions = [
  "size",
  "string",
  "int",
  "double",
  "has",
  "contains",
  "startsWith",
  "endsWith",
  "join",
  "lowerAscii",
  "upperAscii",
  "trim",
];
const allowedFunctions = [...plainFunctions, ...loopFunctions];

/** Names CEL keeps for itself; parameters must not use them. */
export const reservedNames: readonly string[] = [
  ...[
    "self",
    "tier",
    "secret",
    "true",
    "false",
    "null",
    "in",
    "as",
    "break",
    "const",
    "continue",
    "else",
    "for",
    "function",
    "if",
    "import",
  ],
  ...["let", "loop", "package", "namespace", "return", "var", "void", "while", "type", "dyn", "bool", "bytes", "uint", "list", "timestamp"],
  ...["duration", "optional", "cel", "google", "math", "strings", ...allowedFunctions],
];

/** `secrets` are names only. A scope with the same names as `like` reuses its parsed expressions. */
export function expressionScope(
  facts: Record<string, ExpressionFact>,
  secrets: readonly string[],
  like?: ExpressionScope,
): ExpressionScope {
  const variables: Record<string, unknown> = Object.create(null) as Record<string, unknown>;
  for (const [name, value] of Object.entries(facts)) variables[name] = toCel(value);
  variables.secret = Object.fromEntries(secrets.map((name) => [name, new Secret(name)]));
  const names = Object.keys(variables);
  if (like !== undefined && names.length === Object.keys(like.variables).length && names.every((name) => name in like.variables)) {
    return { environment: like.environment, variables, parsed: like.parsed };
  }
  const environment = new Environment({ limits: { maxAstNodes: expressionLimits.nodes, maxDepth: expressionLimits.depth } });
  environment.registerType("Secret", { ctor: Secret, fields: {} });
  for (const name of names) environment.registerVariable(name, "dyn");
  return { environment, variables, parsed: new Map() };
}

/** Renders one scalar found at `path` of a blueprint. Numbers and booleans pass unchanged. */
export function renderValue(path: string, value: Scalar, scope: ExpressionScope): ConfigValue {
  if (typeof value !== "string") return value;
  const parts = splitText(path, value).map((part) => (part.kind === "text" ? part.text : evaluate(path, part.text, scope)));
  if (parts.length === 1) return parts[0]!;
  return joinParts(path, parts);
}

/** As `renderValue`, where a secret has no place (counts, sizes, names of images). */
export function renderScalar(path: string, value: Scalar, scope: ExpressionScope): Scalar {
  const rendered = renderValue(path, value, scope);
  if (typeof rendered === "object") {
    throw invalid(path, "a secret is allowed only in `config`", `move the secret to the tier's config`);
  }
  return rendered;
}

/** Puts the values of secrets in. Called inside a provider call and nowhere else. */
export function resolveSecrets(value: ConfigValue, secretOf: (name: string) => string): Scalar {
  if (typeof value !== "object") return value;
  if ("$secret" in value) return secretOf(value.$secret);
  return value.$template.map((part) => (typeof part === "string" ? part : secretOf(part.$secret))).join("");
}

function evaluate(path: string, source: string, scope: ExpressionScope): Scalar | SecretReference {
  let expression = scope.parsed.get(source);
  try {
    if (expression === undefined) {
      expression = scope.environment.parse(withIndexes(source));
      checkFunctions(path, expression.ast, false);
      scope.parsed.set(source, expression);
    }
    return fromCel(path, source, expression(scope.variables));
  } catch (error) {
    if (error instanceof ParseError || error instanceof EvaluationError || error instanceof CelTypeError)
      throw explain(path, source, error, scope);
    throw error;
  }
}

/** Refuses functions without a bound on time or size, and loops inside loops. */
function checkFunctions(path: string, node: ASTNode, inLoop: boolean): void {
  let name: string | undefined;
  if (node.op === "call") name = node.args[0];
  if (node.op === "rcall") name = node.args[0];
  if (name !== undefined && !allowedFunctions.includes(name)) {
    throw invalid(path, `the function "${name}" is not allowed in expressions`, nearestName(name, allowedFunctions, "function"));
  }
  const loops = name !== undefined && loopFunctions.has(name);
  if (loops && inLoop) throw invalid(path, `"${name}" stands inside another loop`, "use a single loop in one expression");
  for (const child of childrenOf(node.args)) checkFunctions(path, child, inLoop || loops);
}

function childrenOf(args: unknown): ASTNode[] {
  if (Array.isArray(args)) return args.flatMap((arg: unknown) => childrenOf(arg));
  return typeof args === "object" && args !== null && "op" in args ? [args as ASTNode] : [];
}

function joinParts(path: string, parts: readonly (Scalar | SecretReference)[]): ConfigValue {
  const joined: (string | SecretReference)[] = [];
  for (const part of parts) {
    const last = joined.at(-1);
    if (typeof part === "object") joined.push(part);
    else if (typeof last === "string") joined[joined.length - 1] = last + String(part);
    else joined.push(String(part));
  }
  const length = joined.reduce((sum, part) => sum + (typeof part === "string" ? part.length : 0), 0);
  if (length > expressionLimits.textLength) {
    throw invalid(path, `a rendered text has at most ${expressionLimits.textLength} characters, this has ${length}`, "shorten the text");
  }
  const only = joined[0];
  return joined.length === 1 && typeof only === "string" ? only : { $template: joined };
}

function toCel(value: ExpressionFact): unknown {
  if (typeof value === "number") return Number.isSafeInteger(value) ? BigInt(value) : value;
  if (Array.isArray(value)) return value.map((item: ExpressionFact) => toCel(item));
  if (typeof value === "object" && value !== null)
    return Object.fromEntries(Object.entries(value).map(([name, item]) => [name, toCel(item)]));
  return value;
}

function fromCel(path: string, source: string, value: unknown): Scalar | SecretReference {
  if (value instanceof Secret) return { $secret: value.name };
  if (typeof value === "boolean") return value;
  if (typeof value === "number" && Number.isFinite(value)) return value;
  if (typeof value === "bigint" && Number.isSafeInteger(Number(value))) return Number(value);
  if (typeof value === "string" && value.length <= expressionLimits.textLength) return value;
  const shape = typeof value === "bigint" ? "a number beyond 2^53" : typeof value === "string" ? "too long a text" : "no single value";
  throw invalid(
    path,
    `"\${${source}}" gives ${shape}; a text, a finite number, true or false is needed`,
    "select one attribute, or join a list with .join(',')",
  );
}

/** Turns the library's error into constraint, source and nearest; the names come from the object the expression looked into. */
function explain(path: string, source: string, error: ParseError | EvaluationError | CelTypeError, scope: ExpressionScope): AppError {
  const constraint = `"\${${source}}": ${error.summary}`;
  const node = error.node;
  if (error.code === "unknown_variable" && node?.op === "id") {
    return invalid(path, constraint, nearestName(String(node.args), Object.keys(scope.variables), "name"), error);
  }
  if (error.code === "no_such_key" && node?.op === "." && Array.isArray(node.args)) {
    const [object, key] = node.args as [ASTNode, string];
    return invalid(path, constraint, nearestName(key, namesIn(object, scope), "name"), error);
  }
  if (error.summary.includes("Secret"))
    return invalid(path, constraint, 'put the secret on its own beside the text: "user:${secret.name}"', error);
  if (error.code === "index_out_of_bounds") return invalid(path, constraint, "use an index below the tier's count", error);
  return invalid(path, constraint, "correct the expression (CEL); known names: " + Object.keys(scope.variables).sort().join(", "), error);
}

function namesIn(object: ASTNode, scope: ExpressionScope): string[] {
  try {
    const value: unknown = scope.environment.parse(serialize(object))(scope.variables);
    return typeof value === "object" && value !== null && !Array.isArray(value) ? Object.keys(value) : [];
  } catch {
    // A loop variable is unknown outside of its loop; the refusal then has no list of names.
    return [];
  }
}
