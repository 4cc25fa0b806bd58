/**
 * Plans: what a change would do, before it does it. `PlanFacts` is everything a process may look at; `PlanDocument` is what people
 * see, approve by hash, and what the order executes exactly.
 */
import { z } from "zod";
import type { RenderedVapp } from "#domain/blueprint-render.ts";
import type { Offering } from "#domain/blueprint.ts";
import type { PowerState } from "#domain/change.ts";
import type { Drift } from "#domain/drift.ts";
import type { Json } from "#domain/json.ts";

export const planLimits = { steps: 2_000, machines: 200, lifetimeMs: 60 * 60 * 1000 } as const;

export const healthSchema = z.union([
  z.object({ tcp: z.number().int() }),
  z.object({ http: z.object({ port: z.number().int(), path: z.string() }) }),
]);
export type Health = z.infer<typeof healthSchema>;

/** A machine as the vApp wants it; becomes a row when the order is accepted. */
export interface DesiredMachine {
  readonly name: string;
  readonly tier: string;
  readonly ordinal: number;
  readonly kind: "vm" | "container";
  readonly image: string;
  readonly imageDigest: string;
  readonly endpointId: string;
  readonly size: string;
  readonly vcpus: number;
  readonly memoryMiB: number;
  /** What its disks hold at least: the size of its image and of its volumes. */
  readonly storageMiB: number;
  readonly volumes: readonly { readonly name: string; readonly sizeMiB: number }[];
  readonly reason: string;
  readonly segments: readonly string[];
  readonly health: Health | null;
}

export interface DesiredSegment {
  readonly name: string;
  readonly isolated: boolean;
}

/** A snapshot of the whole vApp: all disks and volumes of all its machines at one moment. */
export interface DesiredSnapshot {
  readonly name: string;
}

export interface DesiredExposure {
  readonly name: string;
  readonly machine: string;
  readonly segment: string;
  readonly port: number;
}

/** What the vApp looks like once the run succeeded. Lists are complete: what is missing in them is to be removed. */
export interface DesiredVapp {
  readonly desired: "running" | "stopped" | "deleted";
  readonly siteId: string;
  readonly machines: readonly DesiredMachine[];
  readonly segments: readonly DesiredSegment[];
  readonly exposures: readonly DesiredExposure[];
  readonly snapshots: readonly DesiredSnapshot[];
  /** What the lists above were rendered from, with everything people changed since (counts, sizes, volumes). */
  readonly blueprint: RenderedVapp;
  /** As given, without defaults. */
  readonly parameters: Readonly<Record<string, Json>>;
  /** Hours until it is purged; null: it stays. Absent: as before. */
  readonly retainHours?: number | null;
  readonly secrets: readonly { readonly name: string; readonly bytes: number }[];
}

export interface ImageChoice {
  readonly name: string;
  readonly variants: readonly { readonly format: "qcow2" | "lxd" | "sim"; readonly digest: string; readonly sizeBytes: number }[];
}

export interface SiteChoice {
  readonly id: string;
  readonly name: string;
}

export interface EndpointChoice {
  readonly id: string;
  readonly name: string;
  readonly siteId: string;
  readonly hostName: string;
  readonly provider: string;
  readonly machineKinds: readonly ("vm" | "container")[];
  readonly imageFormats: readonly ("qcow2" | "lxd" | "sim")[];
  readonly liveResize: boolean;
  readonly pause: boolean;
  readonly snapshots: boolean;
  readonly volumes: boolean;
  readonly state: "unchecked" | "ready" | "unreachable" | "observed";
  readonly accelerator: "kvm" | "tcg" | "none";
  /** Host memory a VM takes here beyond its own. */
  readonly overheadMiBPerVm: number;
  readonly vcpus: number;
  readonly memoryMiB: number;
  /** Promised on the host, through any of its endpoints, to machines of ours in any state but deleted; memory with overhead. */
  readonly usedVcpus: number;
  readonly usedMemoryMiB: number;
}

export interface MachineOfVapp extends DesiredMachine {
  readonly id: string;
  readonly endpointName: string;
  readonly state: PowerState | "planned" | "missing" | "deleted";
  readonly drift: readonly Drift[];
  /** It runs and has not answered its health check for a while. */
  readonly hung: boolean;
}

export interface SnapshotOfVapp extends DesiredSnapshot {
  readonly id: string;
  readonly state: "planned" | "realised" | "removed";
  /** Names of the machines it holds. */
  readonly machines: readonly string[];
}

/** The vApp as it is now. */
export interface VappOfPlan {
  readonly id: string;
  readonly name: string;
  readonly generation: number;
  readonly desired: "running" | "stopped" | "deleted";
  readonly state: string;
  readonly siteId: string;
  /** Tiers with what they start after, in declared order. */
  readonly tiers: readonly { readonly name: string; readonly after: readonly string[] }[];
  readonly machines: readonly MachineOfVapp[];
  /** Machines that are to go and are not gone yet: a removal that stopped in the middle. */
  readonly leaving: readonly MachineOfVapp[];
  readonly snapshots: readonly SnapshotOfVapp[];
  /** The version it was deployed from. */
  readonly offering: Offering;
  readonly parameters: Readonly<Record<string, Json>>;
  readonly blueprint: RenderedVapp;
  /** When it is purged, RFC 3339 UTC; null unless it was deleted. */
  readonly deleteAt: string | null;
  readonly segments: readonly (DesiredSegment & { readonly id: string; readonly state: string })[];
  readonly exposures: readonly (DesiredExposure & { readonly id: string; readonly state: string })[];
}

/** Everything a process may look at. Read in one snapshot; nothing in it is a secret. */
export interface PlanFacts {
  /** Null for a deployment. */
  readonly vapp: VappOfPlan | null;
  /** The offering a deployment asks for; null when the input names none or an unknown one. */
  readonly offering: Offering | null;
  /** Images of that offering, or of the vApp's, by name. */
  readonly images: readonly ImageChoice[];
  readonly sites: readonly SiteChoice[];
  readonly endpoints: readonly EndpointChoice[];
}

export const stepEffectSchema = z.object({ creates: z.array(z.string()), changes: z.array(z.string()), removes: z.array(z.string()) });

export const planStepSchema = z.object({
  id: z.string(),
  kind: z.string(),
  title: z.string(),
  input: z.json(),
  after: z.array(z.string()),
  undoable: z.boolean().meta({ description: "Whether a failure later on can undo this step" }),
  final: z.boolean().meta({ description: "Once it succeeded the run only goes forward" }),
  effect: stepEffectSchema,
});
export type PlanStep = z.infer<typeof planStepSchema>;

export const placementSchema = z.object({
  machine: z.string(),
  kind: z.enum(["vm", "container"]),
  endpoint: z.string().meta({ description: "Name of the endpoint" }),
  reason: z.string().meta({ description: "The facts that decided" }),
});

/** What was resolved when the plan was made; a change of any of it changes the hash. */
export const resolvedSchema = z.object({
  offering: z.string().nullable().meta({ description: "name@version#digest" }),
  process: z.string().meta({ description: "name@version" }),
  images: z.array(z.string()).meta({ description: "name#digest" }),
  policy: z.string().meta({ description: "Digest of the policy set" }),
  rateCard: z.string().meta({ description: "name#digest" }),
  generation: z.int().nullable().meta({ description: "Generation of the vApp this plan was made against; null for a deployment" }),
});

/** Promises the order must keep; only a broken one refuses it. */
export const boundsSchema = z.strictObject({
  maxCostPerMonth: z.string().meta({ description: "Decimal amount in the currency of the rate card" }),
  maxDowntimeSeconds: z.int().min(0),
  sites: z.array(z.string()).meta({ description: "Names of the sites the vApp may touch" }),
  kinds: z.array(z.string()).meta({ description: "Kinds of step that may be carried out" }),
});
export type Bounds = z.infer<typeof boundsSchema>;
/** Bounds a request may give; what it leaves out is taken from the plan itself. */
export const promisedSchema = boundsSchema.partial();
export type Promised = z.infer<typeof promisedSchema>;

export const planDocumentSchema = z.object({
  summary: z.string(),
  steps: z.array(planStepSchema),
  placements: z.array(placementSchema),
  cost: z.object({
    currency: z.string(),
    perHourBefore: z.string(),
    perHourAfter: z.string(),
    perMonthBefore: z.string(),
    perMonthAfter: z.string().meta({ description: "730 hours" }),
  }),
  quota: z.array(z.object({ dimension: z.string(), before: z.int(), after: z.int(), quota: z.int() })),
  policy: z.array(z.object({ action: z.string(), decision: z.enum(["permit", "forbid"]), reason: z.string() })),
  downtimeSeconds: z.int(),
  reversible: z.boolean(),
  resolved: resolvedSchema,
  bounds: boundsSchema,
});
export type PlanDocument = z.infer<typeof planDocumentSchema>;

export const planViewSchema = z
  .object({
    id: z.string(),
    hash: z.string().meta({ description: "sha256 over intent, resolved versions and bounds; an order repeats it" }),
    action: z.string(),
    vapp: z.string().nullable(),
    input: z.json(),
    createdAt: z.string(),
    expiresAt: z.string(),
  })
  .extend(planDocumentSchema.shape)
  .meta({ id: "Plan" });
export type PlanView = z.infer<typeof planViewSchema>;

export const planRequestSchema = z
  .strictObject({
    action: z.string().max(64).meta({ description: "Name of a process: deploy, delete, start, stop, repair, ..." }),
    vapp: z.string().optional().meta({ description: "Id or name of the vApp; not for deploy" }),
    project: z.string().max(64).optional().meta({ description: "Name of the project; default `default`" }),
    input: z.record(z.string().max(64), z.json()).default({}),
  })
  .meta({ id: "PlanRequest" });
export type PlanRequest = z.infer<typeof planRequestSchema>;
