/**
 * JSON schemas of the zod schemas: once as components of the OpenAPI document, once for the compiled serializers. A schema with
 * `.meta({ id })` becomes a component of that name; all else is written in place.
 */
import { z } from "zod";
import { assert } from "#domain/error.ts";
import { canonicalJson } from "#domain/json.ts";

export type JsonSchema = { [member: string]: unknown };

export interface SchemaSet {
  readonly components: Map<string, JsonSchema>;
  /** The schema as it may be used in place: a reference when it has a name. */
  add(schema: z.ZodType, io: "input" | "output"): JsonSchema;
}

interface Dialect {
  readonly target: "draft-7" | "draft-2020-12";
  readonly reference: (name: string) => string;
}

export const openapiDialect: Dialect = { target: "draft-2020-12", reference: (name) => `#/components/schemas/${name}` };
export const serializerDialect: Dialect = { target: "draft-7", reference: (name) => `${name}#` };

export function makeSchemaSet(dialect: Dialect): SchemaSet {
  const components = new Map<string, JsonSchema>();
  return {
    components,
    add(schema, io) {
      const {
        $schema: _,
        $defs,
        definitions,
        ...root
      } = z.toJSONSchema(schema, {
        target: dialect.target,
        io,
        override: ({ zodSchema, jsonSchema }) => simplify(zodSchema, jsonSchema),
      }) as JsonSchema;
      const definitionsOf = ($defs ?? definitions ?? {}) as Record<string, JsonSchema>;
      for (const [name, definition] of Object.entries(definitionsOf)) {
        if (name.startsWith("__")) continue;
        const component = rewrite(definition, dialect) as JsonSchema;
        const known = components.get(name);
        assert(known === undefined || canonicalJson(known) === canonicalJson(component), `two schemas are called ${name}`);
        components.set(name, component);
      }
      return rewrite(root, dialect) as JsonSchema;
    },
  };
}

/** Drops what says nothing: the recursion of `z.json()` (any JSON), and the bounds of safe integers. */
function simplify(zodSchema: z.core.$ZodTypes, jsonSchema: JsonSchema): void {
  if (zodSchema._zod.def.type === "lazy") for (const member of Object.keys(jsonSchema)) delete jsonSchema[member];
  if (jsonSchema["minimum"] === Number.MIN_SAFE_INTEGER) delete jsonSchema["minimum"];
  if (jsonSchema["maximum"] === Number.MAX_SAFE_INTEGER) delete jsonSchema["maximum"];
}

/** Points references at the components. Only `z.json()` makes unnamed definitions, and they say: any JSON. */
function rewrite(value: unknown, dialect: Dialect): unknown {
  if (Array.isArray(value)) return value.map((item) => rewrite(item, dialect));
  if (typeof value !== "object" || value === null) return value;
  const { $ref, ...rest } = value as JsonSchema;
  const members = Object.fromEntries(Object.entries(rest).map(([member, inner]) => [member, rewrite(inner, dialect)]));
  if (typeof $ref !== "string") return members;
  const name = $ref.split("/").pop()!;
  return name.startsWith("__") ? members : { $ref: dialect.reference(name), ...members };
}
