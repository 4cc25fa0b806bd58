import { expect, test } from "vitest";
import { bootDisk } from "#agent/accelerator.ts";

test("the boot disk starts with code and carries the signature the firmware looks for", () => {
  const disk = bootDisk();
  expect(disk[0]).toBe(0xb0);
  expect(disk.readUInt16LE(510)).toBe(0xaa55);
  expect(disk.length).toBeGreaterThan(512);
});
