import { expect, test } from "vitest";
import { z } from "zod";
import { isAppError, type Refusal } from "#domain/error.ts";
import { orderRequestSchema } from "#domain/order.ts";
import { parsed } from "#api/validation.ts";

function refusals(schema: z.ZodType, value: unknown): readonly Refusal[] {
  try {
    parsed(schema, value, "body");
  } catch (error) {
    if (isAppError(error, "invalid_input")) return error.detail;
    throw error;
  }
  return [];
}

test("defaults are filled in, in a union as well", () => {
  expect(parsed(orderRequestSchema, { action: "delete", vapp: "x" }, "body")).toEqual({ action: "delete", vapp: "x", input: {} });
});

test("of a union only the alternative that was meant is talked about", () => {
  expect(refusals(orderRequestSchema, { plan: "plan_1" }).map(({ source }) => source)).toEqual(["body, hash"]);
  expect(refusals(orderRequestSchema, { action: "deploy", inptu: {} })).toEqual([
    { constraint: 'the document has no field "inptu"', source: "body", nearest: 'remove "inptu"' },
  ]);
});

test("each issue becomes a refusal with its place, and there is an end to them", () => {
  const schema = z.strictObject({ rows: z.array(z.strictObject({ n: z.int().max(3) })) });
  expect(refusals(schema, { rows: [{ n: 1 }, { n: 9 }] })).toMatchObject([{ source: "body, rows.1.n", nearest: "use at most 3" }]);
  expect(refusals(schema, { rows: Array.from({ length: 500 }, () => ({ n: 9 })) })).toHaveLength(20);
  expect(refusals(schema, undefined)).toHaveLength(1);
});
