import { expect, test } from "vitest";
import { z } from "zod";
import { openapiDocument } from "#api/openapi.ts";
import { operations } from "#api/operations.ts";
import { makeSchemaSet, openapiDialect, serializerDialect } from "#api/schemas.ts";

interface Described {
  readonly operationId: string;
  readonly summary: string;
  readonly tags: readonly string[];
  readonly responses: Readonly<Record<string, unknown>>;
  readonly parameters: readonly { readonly name: string; readonly in: string; readonly schema: unknown }[];
}

const document = openapiDocument("1.2.3") as {
  paths: Record<string, Record<string, Described>>;
  components: { schemas: object; responses: object };
};
const described = Object.entries(document.paths).flatMap(([path, methods]) =>
  Object.entries(methods).map(([method, one]) => ({ path, method, ...one })),
);

test("every operation is described once, with an id of its own, a tag, a summary and its refusals", () => {
  expect(described).toHaveLength(operations.length);
  expect(new Set(described.map(({ operationId }) => operationId)).size).toBe(operations.length);
  for (const { path, method, ...one } of described) {
    expect(one.summary.length, path).toBeGreaterThan(5);
    expect(one.tags, path).toHaveLength(1);
    expect(Object.keys(one.responses), path).toEqual(expect.arrayContaining(["401", "403", "500"]));
    const named = [...path.matchAll(/\{(\w+)\}/g)].map(([, name]) => name);
    expect(one.parameters.filter((parameter) => parameter.in === "path").map(({ name }) => name)).toEqual(named);
    expect(
      one.parameters.some(({ name }) => name === "Idempotency-Key"),
      `${method} ${path}`,
    ).toBe(method === "post");
  }
});

test("every reference leads somewhere", () => {
  const references = [...JSON.stringify(document).matchAll(/"\$ref":"#\/components\/(\w+)\/(\w+)"/g)];
  expect(references.length).toBeGreaterThan(50);
  for (const [, kind = "", name = ""] of references)
    expect(Object.keys(document.components[kind as "schemas" | "responses"])).toContain(name);
});

test("the same operations give the same bytes", () => {
  expect(JSON.stringify(openapiDocument("1.2.3"))).toBe(JSON.stringify(document));
});

test("two schemas of one name are noticed", () => {
  const set = makeSchemaSet(openapiDialect);
  set.add(z.object({ a: z.string() }).meta({ id: "SameName" }), "output");
  expect(() => set.add(z.object({ b: z.string() }).meta({ id: "SameName" }), "output")).toThrow("two schemas are called SameName");
});

test("a dialect names components its own way, and any JSON is any JSON", () => {
  const schema = z.object({ inner: z.object({ value: z.json() }).meta({ id: "Inner" }), count: z.int() });
  expect(makeSchemaSet(serializerDialect).add(schema, "output")).toMatchObject({
    properties: { inner: { $ref: "Inner#" }, count: { type: "integer" } },
  });
  const set = makeSchemaSet(openapiDialect);
  set.add(schema, "output");
  expect(set.components.get("Inner")).toMatchObject({ properties: { value: {} } });
});
