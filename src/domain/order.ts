/** Orders and runs: the request to carry out one plan, and its execution. */
import { z } from "zod";
import { boundsSchema, planRequestSchema, promisedSchema } from "#domain/plan.ts";

export const orderStates = ["running", "succeeded", "compensated", "failed"] as const;

export const orderRequestSchema = z
  .union([
    z.strictObject({ plan: z.string().max(100), hash: z.string().max(100) }).meta({ description: "Carry out a plan made before" }),
    planRequestSchema.extend({ bounds: promisedSchema.optional() }).meta({ description: "Plan and order in one go" }),
  ])
  .meta({ id: "OrderRequest" });
export type OrderRequest = z.infer<typeof orderRequestSchema>;

export const orderViewSchema = z
  .object({
    id: z.string(),
    project: z.string(),
    principal: z.string().meta({ description: "Who ordered" }),
    plan: z.string(),
    vapp: z.string(),
    vappName: z.string(),
    run: z.string(),
    action: z.string(),
    summary: z.string(),
    bounds: boundsSchema,
    state: z.enum(orderStates),
    createdAt: z.string(),
    finishedAt: z.string().nullable(),
  })
  .meta({ id: "Order" });
export type OrderView = z.infer<typeof orderViewSchema>;

export const runStepViewSchema = z.object({
  id: z.string(),
  kind: z.string(),
  title: z.string(),
  after: z.array(z.string()),
  state: z.string().meta({ description: "pending, running, succeeded, failed, undone, ..." }),
  attempts: z.int(),
  startedAt: z.string().nullable(),
  finishedAt: z.string().nullable(),
  error: z.object({ code: z.string(), message: z.string() }).nullable(),
  waiting: z.string().nullable().meta({ description: "What it waits for; null when it does not" }),
  decision: z
    .object({ decision: z.enum(["confirm", "refuse"]), principal: z.string(), reason: z.string(), at: z.string() })
    .nullable()
    .meta({ description: "What a person decided where the run could not" }),
});

export const decisionRequestSchema = z
  .strictObject({
    step: z.string().max(200).optional().meta({ description: "Id of the step; may be left out when one waits" }),
    decision: z.enum(["confirm", "refuse"]),
    reason: z.string().min(3).max(500).meta({ description: "How you know; stays on record" }),
  })
  .meta({ id: "DecisionRequest" });
export type DecisionRequest = z.infer<typeof decisionRequestSchema>;

export const runViewSchema = z
  .object({
    id: z.string(),
    order: z.string(),
    vapp: z.string(),
    action: z.string(),
    state: z.string().meta({ description: "enqueued, running, waiting, succeeded, compensated, failed" }),
    createdAt: z.string(),
    finishedAt: z.string().nullable(),
    steps: z.array(runStepViewSchema),
  })
  .meta({ id: "Run" });
export type RunView = z.infer<typeof runViewSchema>;
