import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { AppError } from "#domain/error.ts";
import { checkParameter, parameterNameSchema, parameterSchema, parseParameters } from "#domain/parameter.ts";
import type { Parameter } from "#domain/parameter.ts";

const definitions: Record<string, Parameter> = {
  web: { type: "integer", minimum: 1, maximum: 6, default: 2 },
  ratio: { type: "number", maximum: 1, default: 0.5 },
  edition: { type: "string", enum: ["small", "large"], default: "small" },
  title: { type: "string", minLength: 2, maxLength: 5 },
  debug: { type: "boolean", default: false },
};

function refusals(given: Record<string, unknown>) {
  try {
    parseParameters(definitions, given, "offering x 1.0.0");
  } catch (error) {
    expect(error).toBeInstanceOf(AppError);
    return (error as AppError).detail;
  }
  throw new Error("was not refused");
}

test("defaults complete what is given, and texts that say a number or a truth value are taken as such", () => {
  expect(parseParameters(definitions, { title: "abc" }, "x")).toEqual({ web: 2, ratio: 0.5, edition: "small", title: "abc", debug: false });
  expect(parseParameters(definitions, { title: "123", web: "3", ratio: "-0.25", debug: "true" }, "x")).toMatchObject({
    title: "123",
    web: 3,
    ratio: -0.25,
    debug: true,
  });
});

describe("refusals", () => {
  test.each<[Record<string, unknown>, string, string]>([
    [{ title: "abc", web: 9 }, "web must be a whole number from 1 to 6, not 9", "use 6"],
    [{ title: "abc", web: 2.4 }, "not 2.4", "use 2"],
    [{ title: "abc", web: "many" }, 'not "many"', "use 2"],
    [{ title: "abc", web: null }, "not null", "use 2"],
    [{ title: "abc", ratio: 7 }, "ratio must be a number of at most 1, not 7", "use 1"],
    [{ title: "abc", edition: "larg" }, "edition must be one of small, large", 'use "large"'],
    [{ title: "a" }, "title must be a text of 2 to 5 characters", "add 1 characters"],
    [{ title: "abcdefg" }, "title must be", "remove 2 characters"],
    [{ title: 5 }, "title must be", "write it as a text"],
    [{}, 'the parameter "title" has no default', "give title as a text of 2 to 5 characters"],
    [{ title: "abc", debug: "maybe" }, "debug must be true or false", "use true or false"],
    [{ title: "abc", wep: 1 }, 'there is no parameter "wep"', 'use "web"'],
    [{ title: "abc", constructor: 1 }, 'there is no parameter "constructor"', "use one of the known"],
  ])("%j", (given, constraint, nearest) => {
    const [refusal] = refusals(given);
    expect(refusal!.constraint).toContain(constraint);
    expect(refusal!.nearest).toContain(nearest);
    expect(refusal!.source).toContain("offering x 1.0.0, parameters");
  });

  test("all broken rules are named at once", () => {
    expect(refusals({ web: 0, ratio: 2, nope: 1 }).map((one) => one.source)).toHaveLength(4);
  });
});

test("property: following the nearest change of a number is accepted", () => {
  fc.assert(
    fc.property(fc.double({ noNaN: true }), (web) => {
      try {
        parseParameters(definitions, { title: "abc", web }, "x");
      } catch (error) {
        const nearest = /^use (.*)$/.exec((error as AppError).detail[0]!.nearest)![1]!;
        expect(parseParameters(definitions, { title: "abc", web: nearest }, "x")["web"]).toBe(Number(nearest));
      }
    }),
  );
});

test("definitions are strict, and a default obeys its own limits", () => {
  expect(parameterSchema.safeParse({ type: "integer", pattern: "x" }).success).toBe(false);
  expect(parameterSchema.safeParse({ type: "date" }).success).toBe(false);
  expect(checkParameter("web", { type: "integer", minimum: 3, default: 2 }, "x")[0]).toMatchObject({
    source: "x, parameters.web.default",
    nearest: "use 3",
  });
  expect(checkParameter("web", { type: "integer", minimum: 3 }, "x")).toEqual([]);
  for (const name of ["self", "size", "in", "Web", "a-b", "1a", ""]) expect(parameterNameSchema.safeParse(name).success).toBe(false);
});
