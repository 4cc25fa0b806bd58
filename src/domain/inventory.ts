/** Machines of others at our endpoints, as they are shown (R17): nothing without its source. */
import { z } from "zod";
import { endpointModes } from "#domain/endpoint.ts";

export const inventoryLimits = {
  /** Machines of others kept of one endpoint; more are counted in the log, not kept. */
  machinesPerEndpoint: 10_000,
  /** How long one that is gone is remembered. */
  keepGoneMs: 30 * 24 * 60 * 60 * 1_000,
} as const;

export const inventoryMachineSchema = z
  .object({
    id: z.int().meta({ description: "For paging" }),
    endpoint: z.string(),
    mode: z.enum(endpointModes).meta({ description: "How its endpoint is used" }),
    site: z.string(),
    provider: z.string(),
    name: z.string(),
    externalId: z.string().meta({ description: "The endpoint's own id of it" }),
    kind: z.enum(["vm", "container"]),
    power: z.string(),
    vcpus: z.int(),
    memoryMiB: z.int(),
    nics: z.array(z.object({ mac: z.string(), attachment: z.string() })),
    volumes: z.array(z.object({ name: z.string(), sizeMiB: z.int() })),
    description: z.string().nullable(),
    owner: z
      .object({ who: z.string(), source: z.string() })
      .nullable()
      .meta({ description: "A guess, with the record it comes from; null when nothing says" }),
    age: z.object({
      since: z.string(),
      source: z.string().meta({ description: "Record that says so; `first seen by us`: it may be older" }),
      isAtLeast: z.boolean().meta({ description: "It may be older than that" }),
    }),
    firstSeen: z.string(),
    lastSeen: z.string(),
    goneAt: z.string().nullable(),
  })
  .meta({ id: "InventoryMachine" });
export type InventoryMachineView = z.infer<typeof inventoryMachineSchema>;
