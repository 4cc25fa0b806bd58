import { expect, test } from "vitest";
import type { AppError } from "#domain/error.ts";
import { defaultSizes, sizeNamed, sizeSchema } from "#domain/size.ts";

test("the default sizes are valid and have different names", () => {
  for (const size of defaultSizes) expect(sizeSchema.parse(size)).toEqual(size);
  expect(new Set(defaultSizes.map((size) => size.name)).size).toBe(defaultSizes.length);
});

test("a size is found by its name, and an unknown one is refused with the closest", () => {
  expect(sizeNamed("nano", defaultSizes, "x")).toEqual({ name: "nano", vcpus: 1, memoryMiB: 128 });
  try {
    sizeNamed("smal", defaultSizes, "offering shop 1.0.0, vapp.tiers.db.size");
    expect.unreachable();
  } catch (error) {
    expect((error as AppError).detail).toEqual([
      { constraint: 'there is no size "smal"', source: "offering shop 1.0.0, vapp.tiers.db.size", nearest: 'use "small"' },
    ]);
  }
});
