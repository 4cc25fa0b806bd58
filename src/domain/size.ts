/** Sizes: named amounts of vCPU and memory. A tier names one; what it costs follows from the rate card. */
import { z } from "zod";
import { AppError } from "#domain/error.ts";
import { nearestName } from "#domain/refusal.ts";

export const sizeLimits = { vcpus: 64, memoryMiB: 512 * 1024 } as const;

export const sizeSchema = z
  .strictObject({
    name: z.string().regex(/^[a-z][a-z0-9-]{0,30}$/),
    vcpus: z.int().min(1).max(sizeLimits.vcpus),
    memoryMiB: z.int().min(64).max(sizeLimits.memoryMiB),
  })
  .meta({ id: "Size" });
export type Size = z.infer<typeof sizeSchema>;

/** The sizes every installation starts with. */
export const defaultSizes: readonly Size[] = [
  { name: "nano", vcpus: 1, memoryMiB: 128 },
  { name: "tiny", vcpus: 1, memoryMiB: 256 },
  { name: "small", vcpus: 1, memoryMiB: 512 },
  { name: "medium", vcpus: 2, memoryMiB: 2048 },
];

/** The size with this name; throws `invalid_input` naming the closest known one. `source` says where the name was used. */
export function sizeNamed(name: string, sizes: readonly Size[], source: string): Size {
  const size = sizes.find((candidate) => candidate.name === name);
  if (size !== undefined) return size;
  const constraint = `there is no size "${name}"`;
  const names = sizes.map((candidate) => candidate.name);
  throw new AppError("invalid_input", constraint, { detail: [{ constraint, source, nearest: nearestName(name, names, "size") }] });
}
