/** The vApp and the things it is made of, as the API shows them: desired state, observed facts, and why. */
import { z } from "zod";
import { factSchema } from "#domain/fact.ts";

export const vappNamePattern = /^[a-z][a-z0-9-]{0,39}$/;

export const vappStates = ["provisioning", "active", "degraded", "stopped", "changing", "deleting", "deleted", "failed"] as const;

export const machineStates = ["planned", "running", "stopped", "paused", "crashed", "missing", "unknown", "deleted"] as const;

export const machineViewSchema = z
  .object({
    id: z.string(),
    name: z.string(),
    vapp: z.string(),
    tier: z.string(),
    ordinal: z.int(),
    kind: z.enum(["vm", "container"]),
    site: z.string(),
    endpoint: z.string().meta({ description: "Name of the endpoint" }),
    provider: z.string(),
    externalName: z.string().meta({ description: "Its name at the endpoint, for virsh and lxc" }),
    image: z.string(),
    size: z.string(),
    vcpus: z.int(),
    memoryMiB: z.int(),
    desired: z.enum(["running", "stopped", "deleted"]),
    state: z.enum(machineStates),
    stateAt: z.string(),
    healthyAt: z.string().nullable(),
    reason: z.string().meta({ description: "Why it landed there" }),
    addresses: z.array(z.object({ segment: z.string(), address: z.string(), mac: z.string() })),
    facts: z.array(factSchema),
  })
  .meta({ id: "Machine" });
export type MachineView = z.infer<typeof machineViewSchema>;

export const segmentViewSchema = z
  .object({
    id: z.string(),
    name: z.string(),
    isolated: z.boolean(),
    externalName: z.string(),
    prefix: z.string().nullable(),
    gateway: z.string().nullable(),
    state: z.enum(["planned", "realised", "removed"]),
  })
  .meta({ id: "Segment" });

export const exposureViewSchema = z
  .object({
    id: z.string(),
    name: z.string(),
    machine: z.string(),
    segment: z.string(),
    targetPort: z.int(),
    address: z.string().nullable(),
    port: z.int().nullable(),
    url: z.string().nullable(),
    state: z.enum(["planned", "realised", "removed"]),
  })
  .meta({ id: "Exposure" });

export const snapshotViewSchema = z
  .object({
    id: z.string(),
    name: z.string(),
    state: z.enum(["planned", "realised", "removed"]),
    machines: z.array(z.string()).meta({ description: "Names of the machines it holds" }),
    takenAt: z.string().nullable(),
  })
  .meta({ id: "Snapshot" });

export const vappViewSchema = z
  .object({
    id: z.string(),
    name: z.string(),
    project: z.string(),
    site: z.string(),
    offering: z.string().meta({ description: "name@version" }),
    parameters: z.json(),
    desired: z.enum(["running", "stopped", "deleted"]),
    state: z.enum(vappStates),
    generation: z.int(),
    run: z.string().nullable().meta({ description: "The run that holds the vApp now" }),
    costPerHour: z.string(),
    currency: z.string(),
    createdAt: z.string(),
    deletedAt: z.string().nullable(),
    deleteAt: z.string().nullable().meta({ description: "When a deleted vApp is purged; until then it can be restored" }),
  })
  .meta({ id: "VappSummary" });
export type VappSummaryView = z.infer<typeof vappViewSchema>;

export const vappDetailSchema = vappViewSchema
  .extend({
    machines: z.array(machineViewSchema),
    segments: z.array(segmentViewSchema),
    exposures: z.array(exposureViewSchema),
    snapshots: z.array(snapshotViewSchema),
  })
  .meta({ id: "Vapp" });
export type VappView = z.infer<typeof vappDetailSchema>;

export const execRequestSchema = z
  .strictObject({
    machine: z.string().max(64),
    argv: z.array(z.string().max(4096)).min(1).max(64),
    stdin: z
      .string()
      .max(1024 * 1024)
      .optional(),
    timeoutMs: z.int().min(1).max(60_000).default(30_000),
  })
  .meta({ id: "ExecRequest" });

export const execResultSchema = z
  .object({ exitCode: z.int(), stdout: z.string(), stderr: z.string(), truncated: z.boolean() })
  .meta({ id: "ExecResult" });
