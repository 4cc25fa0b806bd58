/** Views of what is offered, where it can run, and what happened: offerings, images, sites, endpoints, events, audit, bills. */
import { z } from "zod";
import { endpointModes } from "#domain/endpoint.ts";

export const offeringViewSchema = z
  .object({
    id: z.string(),
    name: z.string(),
    version: z.string(),
    summary: z.string(),
    digest: z.string(),
    parameters: z.json(),
    document: z.json(),
    createdAt: z.string(),
  })
  .meta({ id: "Offering" });
export type OfferingView = z.infer<typeof offeringViewSchema>;

export const imageVariantSchema = z.strictObject({
  format: z.enum(["qcow2", "lxd", "sim"]),
  digest: z.string(),
  sizeBytes: z.int(),
  path: z.string().nullable(),
});

export const imageViewSchema = z
  .object({
    id: z.string(),
    name: z.string(),
    recipeHash: z.string(),
    variants: z.array(imageVariantSchema),
    machines: z.int().meta({ description: "Machines made from it, in any state but deleted" }),
    cachedAt: z
      .array(z.object({ endpoint: z.string(), format: z.string(), sizeBytes: z.int(), seenAt: z.string() }))
      .meta({ description: "Copies of its variants at endpoints, as last seen there" }),
    createdAt: z.string(),
  })
  .meta({ id: "Image" });
export type ImageView = z.infer<typeof imageViewSchema>;

export const imageRemovedSchema = z
  .object({
    name: z.string(),
    removedFrom: z.array(z.string()).meta({ description: "Endpoints that have no copy any more" }),
    keptAt: z.array(z.object({ endpoint: z.string(), why: z.string() })).meta({ description: "Endpoints whose copy could not be removed" }),
  })
  .meta({ id: "ImageRemoved" });
export type ImageRemovedView = z.infer<typeof imageRemovedSchema>;

export const imageWriteSchema = z
  .strictObject({
    name: z.string().regex(/^[a-z][a-z0-9-]{0,62}$/),
    recipeHash: z.string().max(128),
    variants: z.array(imageVariantSchema).min(1).max(8),
  })
  .meta({ id: "ImageWrite" });
export type ImageWrite = z.infer<typeof imageWriteSchema>;

export const siteViewSchema = z
  .object({
    id: z.string(),
    name: z.string(),
    kind: z.enum(["own", "partner", "public"]),
    location: z.string(),
    fabric: z.object({ kind: z.string() }),
    generation: z.int(),
  })
  .meta({ id: "Site" });
export type SiteView = z.infer<typeof siteViewSchema>;

export const siteWriteSchema = z
  .strictObject({
    name: z.string().regex(/^[a-z][a-z0-9-]{0,30}$/),
    kind: z.enum(["own", "partner", "public"]).default("own"),
    location: z.string().max(120).default("here"),
    fabric: z
      .strictObject({
        kind: z.string().max(30).meta({ description: "linux, sim, or none for places that are only observed" }),
        config: z.json(),
      })
      .default({ kind: "none", config: {} }),
  })
  .meta({ id: "SiteWrite" });
export type SiteWrite = z.infer<typeof siteWriteSchema>;

export const endpointViewSchema = z
  .object({
    id: z.string(),
    name: z.string(),
    site: z.string(),
    provider: z.string(),
    mode: z.enum(endpointModes).meta({ description: "`observe`: looked at and never touched; nothing is placed there" }),
    state: z.enum(["unchecked", "ready", "unreachable"]),
    product: z.string().nullable(),
    host: z.string().nullable(),
    architecture: z.string().nullable(),
    accelerator: z.string().nullable(),
    vcpus: z.int().nullable(),
    memoryMiB: z.int().nullable(),
    machineKinds: z.array(z.string()),
    machines: z.int().meta({ description: "Machines of ours there, in any state but deleted" }),
    checkedAt: z.string().nullable(),
    generation: z.int(),
  })
  .meta({ id: "Endpoint" });
export type EndpointView = z.infer<typeof endpointViewSchema>;

export const endpointWriteSchema = z
  .strictObject({
    name: z.string().regex(/^[a-z][a-z0-9-]{0,30}$/),
    site: z.string(),
    provider: z.string().max(30),
    config: z.json().meta({ description: "As the provider wants it. Private keys and passwords in it are sealed and never shown again" }),
    mode: z.enum(endpointModes).default("manage"),
  })
  .meta({ id: "EndpointWrite" });
/** Callers inside may leave the mode out: `manage`. */
export type EndpointWrite = z.input<typeof endpointWriteSchema>;

/** CloudEvents 1.0 in JSON, with our extensions `position` (global, gapless for readers) and `seq` (per vApp). */
export const eventViewSchema = z
  .object({
    specversion: z.literal("1.0"),
    id: z.string(),
    source: z.string(),
    type: z.string(),
    subject: z.string(),
    time: z.string(),
    position: z.int(),
    vapp: z.string().nullable(),
    seq: z.int().nullable(),
    data: z.json(),
  })
  .meta({ id: "Event" });
export type EventView = z.infer<typeof eventViewSchema>;

export const auditViewSchema = z
  .object({
    id: z.int(),
    at: z.string(),
    principal: z.string().nullable(),
    action: z.string(),
    resource: z.string(),
    decision: z.string(),
    reason: z.string(),
    requestId: z.string(),
    data: z.json(),
    sealed: z.int().nullable().meta({ description: "Place in the organization's chain; null until the sealer came by" }),
    hash: z.string().nullable(),
  })
  .meta({ id: "AuditRecord" });
export type AuditView = z.infer<typeof auditViewSchema>;

export const billViewSchema = z
  .object({
    vapp: z.string().nullable(),
    project: z.string(),
    currency: z.string(),
    from: z.string(),
    to: z.string(),
    total: z.string(),
    lines: z.array(
      z.object({
        resource: z.string(),
        name: z.string(),
        kind: z.string(),
        meter: z.string(),
        from: z.string(),
        to: z.string(),
        quantity: z.string(),
        unitPrice: z.string(),
        amount: z.string(),
      }),
    ),
  })
  .meta({ id: "Bill" });
export type BillView = z.infer<typeof billViewSchema>;

export const pageQuerySchema = z.strictObject({
  limit: z.coerce.number().int().min(1).max(500).default(100),
  after: z.string().max(100).optional().meta({ description: "Id of the last item of the page before" }),
});
