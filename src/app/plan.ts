/**
 * Planning: what a change would do, before it does it. Leaves no trace but the plan itself (I3). The same function plans again when
 * an order is accepted, inside its transaction; what people approved is held by the hash and the bounds.
 */
import { createHash } from "node:crypto";
import { AppError } from "#domain/error.ts";
import { formatId, parseId } from "#domain/id.ts";
import { canonicalJson, hashOf, type Json } from "#domain/json.ts";
import {
  planLimits,
  type DesiredVapp,
  type PlanDocument,
  type PlanFacts,
  type PlanRequest,
  type PlanStep,
  type PlanView,
  type Promised,
  type VappOfPlan,
} from "#domain/plan.ts";
import { quotaDimensions, type QuotaDimension } from "#domain/quota.ts";
import type { ProcessDefinition, ProcessPlan } from "#process/contract.ts";
import type { AppContext, Platform } from "#app/context.ts";
import { newId } from "#app/new-id.ts";
import { readPlanFacts } from "#app/plan-facts.ts";
import { priceOf } from "#app/price.ts";
import { noSuch, projectResource, theProject, theVappNamed } from "#app/resource.ts";
import { stepKinds } from "#app/steps/kinds.ts";
import { useCase } from "#app/use-case.ts";
import { offeringByName, rateCardCurrent } from "#store/catalogue.ts";
import type { Database } from "#store/database.ts";
import { planById, planInsert } from "#store/plan.ts";
import { quotaRead } from "#store/quota.ts";
import type { VappRow } from "#store/vapp.ts";

export interface Planned {
  readonly process: ProcessDefinition<unknown>;
  readonly projectId: string;
  readonly vapp: VappRow | null;
  readonly input: Json;
  readonly facts: PlanFacts;
  readonly plan: ProcessPlan;
  readonly document: PlanDocument;
  readonly hash: string;
}

export const makePlan = useCase(
  { action: "plan.make", resource: (ctx, request: PlanRequest) => subjectResource(ctx, request) },
  async (ctx, request): Promise<PlanView> => {
    const planned = await planChange(ctx, ctx.platform.database, request);
    return storePlan(ctx, request, planned);
  },
);

export const showPlan = useCase(
  {
    action: "order.read",
    resource: async (ctx, id: string) => projectResource(await thePlan(ctx, id)),
  },
  async (ctx, id): Promise<PlanView> => planView(await thePlan(ctx, id)),
);

/** The project a request is about: of its vApp, or the one it names. */
export async function subjectResource(ctx: AppContext, request: PlanRequest) {
  if (request.vapp !== undefined) return projectResource(await theVappNamed(ctx, request.vapp));
  const project = await theProject(ctx, request.project ?? "default");
  return projectResource({ organization_id: project.organization_id, project_id: project.id });
}

/** Plans with facts read from `db`. Writes nothing. */
export async function planChange(ctx: AppContext, db: Database, request: PlanRequest, promised?: Promised): Promise<Planned> {
  const { platform } = ctx;
  const process = theProcess(platform, request.action);
  const input = parseInput(process, request.input);
  // A deployment written onto an existing vApp would replace what that is made of.
  if (process.name === "deploy" && request.vapp !== undefined) throw deployNamesVapp(request.vapp);
  const vapp = request.vapp === undefined ? null : await theVappNamed(ctx, request.vapp, db);
  const projectId = vapp?.project_id ?? (await theProject(ctx, request.project ?? "default", db)).id;
  const offering = typeof (input as { offering?: unknown }).offering === "string" ? (input as { offering: string }).offering : null;
  const facts = await readPlanFacts(platform, db, { vapp, offering });
  const plan = process.plan(facts, input);
  const steps = checkSteps(platform, plan);
  const document = await describe(ctx, db, { process, projectId, facts, plan, steps, offering, promised });
  const intent = {
    action: request.action,
    vapp: vapp?.id ?? null,
    project: projectId,
    input,
    resolved: document.resolved,
    bounds: document.bounds,
  };
  const hash = hashOf("plan", intent, sha256);
  return { process, projectId, vapp, input: input as Json, facts, plan, document, hash };
}

/** Stores the plan people will see; the only thing planning writes. */
export async function storePlan(
  ctx: AppContext,
  request: PlanRequest,
  planned: Planned,
  db: Database = ctx.platform.database,
): Promise<PlanView> {
  const row = {
    id: newId("plan", ctx.clock),
    organization_id: ctx.actor.organizationId,
    project_id: planned.projectId,
    principal_id: ctx.actor.principalId,
    action: request.action,
    vapp_id: planned.vapp?.id ?? null,
    input: JSON.stringify(planned.input),
    document: JSON.stringify(planned.document),
    hash: planned.hash,
    expires_at: new Date(ctx.clock.now() + planLimits.lifetimeMs),
  };
  const { created_at } = await planInsert(db, row);
  return planView({ ...row, input: planned.input, document: planned.document as unknown as Json, created_at });
}

function planView(row: {
  id: string;
  hash: string;
  action: string;
  vapp_id: string | null;
  input: Json;
  document: Json;
  created_at: Date;
  expires_at: Date;
}): PlanView {
  return {
    id: formatId("plan", row.id),
    hash: row.hash,
    action: row.action,
    vapp: row.vapp_id === null ? null : formatId("vapp", row.vapp_id),
    input: row.input as PlanView["input"],
    createdAt: row.created_at.toISOString(),
    expiresAt: row.expires_at.toISOString(),
    ...(row.document as unknown as PlanDocument),
  };
}

export async function thePlan(ctx: AppContext, id: string) {
  const row = await planById(ctx.platform.database, parseId("plan", id));
  if (row === undefined || row.organization_id !== ctx.actor.organizationId) throw noSuch("plan", id);
  return row;
}

function theProcess(platform: Platform, action: string): ProcessDefinition<unknown> {
  const process = platform.processes.get(action);
  if (process !== undefined) return process;
  throw new AppError("invalid_input", `there is no process "${action}"`, {
    detail: [
      {
        constraint: "an order names an installed process",
        source: "processes",
        nearest: `use one of: ${[...platform.processes.keys()].join(", ")}`,
      },
    ],
  });
}

function parseInput(process: ProcessDefinition<unknown>, input: unknown): unknown {
  const parsed = process.input.safeParse(input);
  if (parsed.success) return parsed.data;
  throw new AppError("invalid_input", `the input of ${process.name} is not valid`, {
    detail: parsed.error.issues.map((issue) => ({
      constraint: `${issue.path.map(String).join(".") || "input"}: ${issue.message}`,
      source: `process ${process.name} ${process.version}`,
      nearest: "see the process's input in the API description",
    })),
  });
}

function deployNamesVapp(vapp: string): AppError {
  return new AppError("invalid_input", "a deployment makes a new vApp and does not name one", {
    detail: [{ constraint: `vapp is "${vapp}"`, source: "process deploy", nearest: "leave vapp out and give the new one's name as input" }],
  });
}

/** Every step names a known kind with an input it accepts; a process that plans otherwise is broken. */
function checkSteps(platform: Platform, plan: ProcessPlan): PlanStep[] {
  if (plan.steps.length > planLimits.steps) {
    throw new AppError("invalid_input", `the plan has ${plan.steps.length} steps`, {
      detail: [{ constraint: `a plan has at most ${planLimits.steps} steps`, source: "plan limits", nearest: "split the change" }],
    });
  }
  const kinds = stepKinds(platform);
  return plan.steps.map((step) => {
    const kind = kinds.get(step.kind);
    if (kind === undefined) throw new AppError("internal", "the process plans an unknown kind of step", { internal: step.kind });
    const effect = kind.effect(kind.input.parse(step.input));
    return {
      id: step.id,
      kind: step.kind,
      title: step.title,
      input: step.input as PlanStep["input"],
      after: [...step.after],
      undoable: typeof kind.undo === "function",
      final: kind.final ?? false,
      effect: { creates: [...effect.creates], changes: [...effect.changes], removes: [...effect.removes] },
    };
  });
}

interface Subject {
  readonly process: ProcessDefinition<unknown>;
  readonly projectId: string;
  readonly facts: PlanFacts;
  readonly plan: ProcessPlan;
  readonly steps: PlanStep[];
  readonly offering: string | null;
  readonly promised: Promised | undefined;
}

async function describe(ctx: AppContext, db: Database, subject: Subject): Promise<PlanDocument> {
  const { facts, plan, process } = subject;
  const card = await rateCardCurrent(db);
  const now = new Date(ctx.clock.now());
  const before = priceOf(facts.vapp, card.document, now);
  const after = priceOf(plan.desired ?? facts.vapp, card.document, now);
  const placements = (plan.desired?.machines ?? facts.vapp?.machines ?? []).map((machine) => ({
    machine: machine.name,
    kind: machine.kind,
    endpoint: facts.endpoints.find(({ id }) => id === machine.endpointId)?.name ?? "?",
    reason: machine.reason,
  }));
  const verdict = ctx.platform.policy.decide(
    ctx.actor,
    "process.run",
    projectResource({ organization_id: ctx.actor.organizationId, project_id: subject.projectId }),
    process.name,
  );
  const siteId = plan.desired?.siteId ?? facts.vapp?.siteId;
  return {
    summary: plan.summary,
    steps: subject.steps,
    placements,
    cost: {
      currency: after.currency,
      perHourBefore: before.perHour,
      perHourAfter: after.perHour,
      perMonthBefore: before.perMonth,
      perMonthAfter: after.perMonth,
    },
    quota: await quotaEffect(db, subject),
    policy: [{ action: `process.run (${process.name})`, decision: verdict.decision, reason: verdict.reason }],
    downtimeSeconds: plan.downtimeSeconds,
    reversible: plan.reversible,
    resolved: {
      offering: await resolvedOffering(db, subject.offering),
      process: `${process.name}@${process.version}`,
      images: [...new Set((plan.desired?.machines ?? []).map((machine) => `${machine.image}#${machine.imageDigest}`))].sort(),
      policy: ctx.platform.policy.digest,
      rateCard: `${card.name}#${sha256(canonicalJson(card.document))}`,
      generation: facts.vapp?.generation ?? null,
    },
    bounds: {
      maxCostPerMonth: subject.promised?.maxCostPerMonth ?? after.perMonth,
      maxDowntimeSeconds: subject.promised?.maxDowntimeSeconds ?? plan.downtimeSeconds,
      sites: subject.promised?.sites ?? facts.sites.filter(({ id }) => id === siteId).map(({ name }) => name),
      kinds: subject.promised?.kinds ?? [...new Set(subject.steps.map(({ kind }) => kind))].sort(),
    },
  };
}

async function resolvedOffering(db: Database, name: string | null): Promise<string | null> {
  if (name === null) return null;
  const row = await offeringByName(db, name);
  return row === undefined ? null : `${row.name}@${row.version}#${row.digest}`;
}

async function quotaEffect(db: Database, { plan, facts, projectId }: Subject): Promise<PlanDocument["quota"]> {
  const { before, after } = quotaChange(facts.vapp, plan.desired);
  const { quota, reserved } = await quotaRead(db, projectId);
  return quotaDimensions.map((dimension) => ({
    dimension,
    before: reserved[dimension],
    after: reserved[dimension] + after[dimension] - before[dimension],
    quota: quota[dimension],
  }));
}

/** What a vApp takes before and after a plan; machines that a removal left behind are taken until they are gone. */
export function quotaChange(vapp: VappOfPlan | null, desired: DesiredVapp | undefined) {
  const leaving = vapp?.leaving ?? [];
  const before = quotaOf(vapp === null ? null : { ...vapp, machines: [...vapp.machines, ...leaving] });
  if (desired === undefined) return { before, after: before };
  const named = new Set(desired.machines.map(({ name }) => name));
  const machines = [...desired.machines, ...leaving.filter(({ name }) => !named.has(name))];
  return { before, after: quotaOf({ ...desired, machines }) };
}

/** What a vApp takes of each dimension of the quota. A stopped one still takes it; a deleted one nothing. */
export function quotaOf(vapp: Pick<DesiredVapp, "desired" | "machines" | "segments" | "exposures"> | null): Record<QuotaDimension, number> {
  if (vapp === null || vapp.desired === "deleted") return { machines: 0, vcpus: 0, memoryMiB: 0, segments: 0, exposures: 0 };
  return {
    machines: vapp.machines.length,
    vcpus: vapp.machines.reduce((sum, machine) => sum + machine.vcpus, 0),
    memoryMiB: vapp.machines.reduce((sum, machine) => sum + machine.memoryMiB, 0),
    segments: vapp.segments.length,
    exposures: vapp.exposures.length,
  };
}

function sha256(text: string): string {
  return createHash("sha256").update(text).digest("hex");
}
