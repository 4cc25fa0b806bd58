/** Parameters of an offering: what the person ordering may choose, and the check of what was chosen. */
import { z } from "zod";
import { AppError } from "#domain/error.ts";
import type { Refusal } from "#domain/error.ts";
import { nearestName } from "#domain/refusal.ts";
import { reservedNames } from "#domain/expression.ts";
import { expressionLimits } from "#domain/expression-text.ts";
import type { Scalar } from "#domain/expression.ts";

export const parameterLimits = { parameters: 64, textLength: 1024, choices: 64 } as const;

export const parameterNameSchema = z
  .string()
  .regex(/^[a-z][a-zA-Z0-9_]{0,31}$/, "a name of letters, digits and _ that starts with a lower-case letter, at most 32 characters")
  .refine((name) => !reservedNames.includes(name), "a name that the expression language does not use itself");

const description = z.string().max(500).optional();
const text = z.string().max(parameterLimits.textLength);

/** One definition; which limits exist depends on the type. Without a default the parameter must be given. */
export const parameterSchema = z.discriminatedUnion("type", [
  z.strictObject({
    type: z.literal("integer"),
    minimum: z.int().optional(),
    maximum: z.int().optional(),
    default: z.int().optional(),
    description,
  }),
  z.strictObject({
    type: z.literal("number"),
    minimum: z.number().optional(),
    maximum: z.number().optional(),
    default: z.number().optional(),
    description,
  }),
  z.strictObject({
    type: z.literal("string"),
    enum: z.array(text).min(1).max(parameterLimits.choices).optional(),
    minLength: z.int().min(0).optional(),
    maxLength: z.int().min(0).max(parameterLimits.textLength).optional(),
    default: text.optional(),
    description,
  }),
  z.strictObject({ type: z.literal("boolean"), default: z.boolean().optional(), description }),
]);
export type Parameter = z.infer<typeof parameterSchema>;

export type ParameterValues = Readonly<Record<string, Scalar>>;

/**
 * Completes the given values with the defaults and checks them; throws `invalid_input` with one refusal a broken rule. A text is
 * accepted where a number or a truth value is needed if it says exactly one (`--set web=3`). `source` names the offering.
 */
export function parseParameters(
  definitions: Readonly<Record<string, Parameter>>,
  given: Readonly<Record<string, unknown>>,
  source: string,
): ParameterValues {
  const refusals: Refusal[] = [];
  const values: Record<string, Scalar> = {};
  for (const name of Object.keys(given)) {
    if (Object.hasOwn(definitions, name)) continue;
    const nearest = nearestName(name, Object.keys(definitions), "parameter");
    refusals.push({ constraint: `there is no parameter "${name}"`, source: `${source}, parameters`, nearest });
  }
  for (const [name, definition] of Object.entries(definitions)) {
    const chosen = Object.hasOwn(given, name) ? coerce(definition, given[name]) : definition.default;
    const broken = chosen === undefined ? missing(name, definition) : brokenRule(name, definition, chosen);
    if (broken !== null) refusals.push({ ...broken, source: `${source}, parameters.${name}` });
    else values[name] = chosen as Scalar;
  }
  if (refusals.length > 0)
    throw new AppError("invalid_input", refusals.map((refusal) => refusal.constraint).join("; "), { detail: refusals });
  return values;
}

/** Checks a definition itself: a default outside of its own limits is an error of the offering. */
export function checkParameter(name: string, definition: Parameter, source: string): Refusal[] {
  if (definition.default === undefined) return [];
  const broken = brokenRule(name, definition, definition.default);
  return broken === null ? [] : [{ ...broken, source: `${source}, parameters.${name}.default` }];
}

function coerce(definition: Parameter, value: unknown): unknown {
  if (typeof value !== "string") return value;
  if (definition.type === "boolean" && (value === "true" || value === "false")) return value === "true";
  if ((definition.type === "integer" || definition.type === "number") && /^-?\d{1,15}(\.\d{1,15})?$/.test(value)) return Number(value);
  return value;
}

type Broken = Omit<Refusal, "source">;

function missing(name: string, definition: Parameter): Broken {
  return { constraint: `the parameter "${name}" has no default and must be given`, nearest: `give ${name} as ${allowed(definition)}` };
}

function brokenRule(name: string, definition: Parameter, value: unknown): Broken | null {
  const shown = JSON.stringify(value)?.slice(0, 80) ?? "nothing";
  const broken = (nearest: string): Broken => ({ constraint: `${name} must be ${allowed(definition)}, not ${shown}`, nearest });
  switch (definition.type) {
    case "integer":
    case "number": {
      const { minimum = -Number.MAX_SAFE_INTEGER, maximum = Number.MAX_SAFE_INTEGER } = definition;
      if (typeof value !== "number" || !Number.isFinite(value))
        return broken(`use ${definition.default ?? definition.minimum ?? definition.maximum ?? 0}`);
      const whole = definition.type === "integer" ? Math.round(value) : value;
      const nearest = Math.min(Math.max(whole, minimum), maximum);
      return nearest === value ? null : broken(`use ${nearest}`);
    }
    case "string": {
      const { minLength = 0, maxLength = parameterLimits.textLength } = definition;
      if (typeof value !== "string") return broken(`write it as a text`);
      if (definition.enum !== undefined && !definition.enum.includes(value)) return broken(nearestName(value, definition.enum, "choice"));
      if (value.length < minLength) return broken(`add ${minLength - value.length} characters`);
      return value.length > maxLength ? broken(`remove ${value.length - maxLength} characters`) : null;
    }
    case "boolean":
      return typeof value === "boolean" ? null : broken("use true or false");
  }
}

/** The rule in words. */
function allowed(definition: Parameter): string {
  switch (definition.type) {
    case "integer":
    case "number": {
      const noun = definition.type === "integer" ? "a whole number" : "a number";
      const { minimum, maximum } = definition;
      if (minimum !== undefined && maximum !== undefined) return `${noun} from ${minimum} to ${maximum}`;
      if (minimum !== undefined) return `${noun} of at least ${minimum}`;
      return maximum === undefined ? noun : `${noun} of at most ${maximum}`;
    }
    case "string":
      if (definition.enum !== undefined) return `one of ${definition.enum.join(", ")}`;
      return `a text of ${definition.minLength ?? 0} to ${Math.min(definition.maxLength ?? parameterLimits.textLength, expressionLimits.textLength)} characters`;
    case "boolean":
      return "true or false";
  }
}
