/**
 * Orders: the request to carry out one plan. Everything is decided in one transaction: the plan is made again on what is there now
 * (capacity, quota, generation), held against the hash and the bounds people approved, and the order, desired state, names, marks,
 * the vApp's lock, the run, ledger, event and audit row are written together or not at all.
 */
import { Decimal } from "decimal.js";
import { AppError, type Refusal } from "#domain/error.ts";
import { formatId, parseId } from "#domain/id.ts";
import type { OrderRequest, OrderView } from "#domain/order.ts";
import type { Bounds, PlanDocument, PlanRequest, Promised } from "#domain/plan.ts";
import type { AppContext, DecidedContext } from "#app/context.ts";
import { acceptDesired } from "#app/desired.ts";
import { newId } from "#app/new-id.ts";
import { planChange, storePlan, subjectResource, thePlan, type Planned } from "#app/plan.ts";
import { noSuch, organizationResource, projectResource, theVappNamed } from "#app/resource.ts";
import { auditOf, useCase, write } from "#app/use-case.ts";
import { faultPoint } from "#engine/fault.ts";
import { createRun, requestCancel } from "#engine/run.ts";
import { advisoryLock } from "#store/advisory-lock.ts";
import { auditInsert } from "#store/audit.ts";
import type { Tx } from "#store/database.ts";
import { eventInsert } from "#store/event.ts";
import { projectById } from "#store/installation.ts";
import { orderById, orderInsert, orderList, type OrderRow } from "#store/order.ts";
import { vappLock } from "#store/vapp.ts";

interface Approved {
  readonly request: PlanRequest;
  readonly bounds: Promised;
  /** Present when people approved a plan they had seen. */
  readonly plan: { readonly id: string; readonly document: PlanDocument } | null;
}

export const placeOrder = useCase(
  {
    action: "process.run",
    resource: async (ctx, request: OrderRequest) => {
      const approved = await approve(ctx, request);
      return { ...(await subjectResource(ctx, approved.request)), process: approved.request.action };
    },
  },
  async (ctx, request): Promise<OrderView> => {
    const approved = await approve(ctx, request);
    const settled = await preempt(ctx, approved);
    const id = await write(ctx, (tx) => accept(ctx, tx, settled));
    faultPoint("run:enqueued");
    return orderView((await orderById(ctx.platform.database, id))!);
  },
);

export const showOrder = useCase(
  { action: "order.read", resource: async (ctx, id: string) => projectResource(await theOrder(ctx, id)) },
  async (ctx, id): Promise<OrderView> => orderView(await theOrder(ctx, id)),
);

export interface OrderFilter {
  readonly vapp?: string | undefined;
  readonly after?: string | undefined;
  readonly limit: number;
}

export const listOrders = useCase(
  {
    action: "order.read",
    resource: async (ctx, filter: OrderFilter) =>
      filter.vapp === undefined ? organizationResource(ctx) : projectResource(await theVappNamed(ctx, filter.vapp)),
  },
  async (ctx, filter): Promise<OrderView[]> => {
    const vapp = filter.vapp === undefined ? undefined : await theVappNamed(ctx, filter.vapp);
    const rows = await orderList(ctx.platform.database, {
      organizationId: ctx.actor.organizationId,
      limit: filter.limit,
      ...(vapp === undefined ? {} : { vappId: vapp.id }),
      ...(filter.after === undefined ? {} : { after: parseId("order", filter.after) }),
    });
    return rows.map(orderView);
  },
);

/** What the request stands for: a plan people saw, or a change with bounds. */
async function approve(ctx: AppContext, request: OrderRequest): Promise<Approved> {
  if (!("plan" in request)) return { request, bounds: request.bounds ?? {}, plan: null };
  const row = await thePlan(ctx, request.plan);
  if (row.hash !== request.hash) {
    throw new AppError("conflict", "the hash is not the plan's", {
      detail: [
        { constraint: "an order repeats the hash of the plan it approves", source: `plan ${request.plan}`, nearest: `use ${row.hash}` },
      ],
    });
  }
  if (row.expires_at.getTime() < ctx.clock.now()) {
    throw new AppError("conflict", "the plan has expired", {
      detail: [
        {
          constraint: `the plan was valid until ${row.expires_at.toISOString()}`,
          source: `plan ${request.plan}`,
          nearest: "make a new plan",
        },
      ],
    });
  }
  const document = row.document as unknown as PlanDocument;
  const again: PlanRequest = {
    action: row.action,
    project: (await projectById(ctx.platform.database, row.project_id))!.name,
    input: row.input as PlanRequest["input"],
    ...(row.vapp_id === null ? {} : { vapp: formatId("vapp", row.vapp_id) }),
  };
  return { request: again, bounds: document.bounds, plan: { id: row.id, document } };
}

/** A purge pre-empts the run that holds its vApp: it is asked to cancel, and the purge begins when that has settled. */
async function preempt(ctx: DecidedContext, approved: Approved): Promise<Approved> {
  const { request } = approved;
  if (request.action !== "purge" || request.vapp === undefined) return approved;
  const vapp = await theVappNamed(ctx, request.vapp);
  const holder = vapp.run_id;
  if (holder === null) return approved;
  if (vapp.desired === "deleted") throw heldBy(vapp.name, holder);
  const { kinds, ...bounds } = approved.bounds;
  // Waiting for the other run is part of any purge, so one approved before that run began may wait too.
  return {
    ...approved,
    request: { ...request, input: { ...request.input, settle: holder } },
    bounds: kinds === undefined ? bounds : { ...bounds, kinds: [...kinds, "run.settle"] },
  };
}

async function accept(ctx: DecidedContext, tx: Tx, approved: Approved): Promise<string> {
  // Serialises what competes for capacity: placement reads what is promised, then promises.
  await advisoryLock(tx, "capacity");
  await lockVapp(ctx, tx, approved.request);
  const { kinds, ...bounds } = approved.bounds;
  const planned = await planChange(ctx, tx, approved.request, kinds === undefined ? bounds : { ...bounds, kinds });
  checkPromises(approved, planned);
  const planId = approved.plan?.id ?? parseId("plan", (await storePlan(ctx, approved.request, planned, tx)).id);
  const order = { id: newId("order", ctx.clock), runId: newId("run", ctx.clock) };
  const vappId = await acceptDesired(ctx, tx, planned, order.runId);
  await createRun(tx, {
    id: order.runId,
    onFailure: planned.plan.onFailure ?? planned.process.onFailure,
    steps: planned.document.steps.map(({ id, kind, title, input, after, undoable, final }) => ({
      id,
      kind,
      title,
      input: input as never,
      after,
      undoable,
      final,
    })),
  });
  await orderInsert(tx, {
    id: order.id,
    organization_id: ctx.actor.organizationId,
    project_id: planned.projectId,
    principal_id: ctx.actor.principalId,
    plan_id: planId,
    vapp_id: vappId,
    run_id: order.runId,
    action: planned.process.name,
    summary: planned.plan.summary,
    bounds: JSON.stringify(planned.document.bounds),
  });
  await eventInsert(tx, {
    id: newId("run", ctx.clock),
    organizationId: ctx.actor.organizationId,
    vappId,
    type: "order.accepted",
    subject: formatId("order", order.id),
    data: { action: planned.process.name, summary: planned.plan.summary, run: formatId("run", order.runId), principal: ctx.actor.name },
  });
  await auditInsert(
    tx,
    auditOf(ctx, { order: formatId("order", order.id), process: planned.process.name, hash: planned.hash, vapp: formatId("vapp", vappId) }),
  );
  return order.id;
}

/** The vApp's row lock, and its lock in the sense of runs: one run at a time, only a purge takes it over. */
async function lockVapp(ctx: DecidedContext, tx: Tx, request: PlanRequest): Promise<void> {
  if (request.vapp === undefined) return;
  const { id, run_id: holder } = await theVappNamed(ctx, request.vapp, tx);
  const settled = request.action === "purge" && holder !== null && request.input["settle"] === holder;
  // The run before the vApp, as the run's own steps lock them.
  if (settled) await requestCancel(tx, holder);
  const vapp = await vappLock(tx, id);
  if (vapp === undefined || vapp.run_id === null) return;
  if (!settled || vapp.run_id !== holder) throw heldBy(vapp.name, vapp.run_id);
}

function heldBy(vapp: string, runId: string): AppError {
  return new AppError("conflict", `${vapp} is being changed by another order`, {
    detail: [
      {
        constraint: "one order at a time changes a vApp",
        source: `run ${formatId("run", runId)}`,
        nearest: `wait for it: strat run show ${formatId("run", runId)} --wait`,
      },
    ],
  });
}

/** Only a broken bound, a moved generation or another version than the approved one refuses. */
function checkPromises(approved: Approved, planned: Planned): void {
  const { bounds, cost, downtimeSeconds, steps, resolved } = planned.document;
  const before = approved.plan?.document.resolved;
  if (before !== undefined && before.generation !== resolved.generation) {
    throw new AppError("generation_moved", "the vApp changed since the plan was made", {
      detail: [
        {
          constraint: `the plan was made for generation ${before.generation}`,
          source: `the vApp has generation ${resolved.generation}`,
          nearest: "make a new plan",
        },
      ],
    });
  }
  const refusals: Refusal[] = [];
  const broken = (constraint: string, nearest: string) => refusals.push({ constraint, source: "bounds of the order", nearest });
  if (new Decimal(cost.perMonthAfter).gt(amount(bounds.maxCostPerMonth))) {
    broken(
      `costs at most ${bounds.maxCostPerMonth} ${cost.currency} a month, but would cost ${cost.perMonthAfter}`,
      `raise maxCostPerMonth to ${cost.perMonthAfter}`,
    );
  }
  if (downtimeSeconds > bounds.maxDowntimeSeconds)
    broken(
      `is down for at most ${bounds.maxDowntimeSeconds} s, but would be for ${downtimeSeconds} s`,
      `raise maxDowntimeSeconds to ${downtimeSeconds}`,
    );
  const kinds = [...new Set(steps.map(({ kind }) => kind))].filter((kind) => !bounds.kinds.includes(kind));
  if (kinds.length > 0) broken(`carries out only ${bounds.kinds.join(", ")}`, `allow ${kinds.join(", ")} too`);
  const siteId = planned.plan.desired?.siteId;
  const site = planned.facts.sites.find(({ id }) => id === siteId)?.name;
  if (site !== undefined && !bounds.sites.includes(site)) broken(`touches only the sites ${bounds.sites.join(", ")}`, `allow ${site} too`);
  for (const key of ["offering", "process", "policy", "rateCard"] as const) {
    if (before === undefined || before[key] === resolved[key]) continue;
    broken(`${key} was ${before[key] ?? "none"} when the plan was made and is ${resolved[key] ?? "none"} now`, "make a new plan");
  }
  if (before !== undefined && before.images.join() !== resolved.images.join())
    broken(`images were ${before.images.join(", ")} when the plan was made and are ${resolved.images.join(", ")} now`, "make a new plan");
  if (refusals.length > 0) throw new AppError("bound_broken", "the order would break a promise of its plan", { detail: refusals });
}

/** A bound that is not a number would bind nothing. */
function amount(text: string): Decimal {
  if (/^\d{1,15}(\.\d{1,10})?$/.test(text)) return new Decimal(text);
  throw new AppError("invalid_input", `"${text}" is not an amount`, {
    detail: [{ constraint: "maxCostPerMonth is a decimal amount", source: "bounds of the order", nearest: "write it as 120.50" }],
  });
}

async function theOrder(ctx: AppContext, id: string): Promise<OrderRow> {
  const row = await orderById(ctx.platform.database, parseId("order", id));
  if (row === undefined || row.organization_id !== ctx.actor.organizationId) throw noSuch("order", id);
  return row;
}

export function orderView(row: OrderRow): OrderView {
  return {
    id: formatId("order", row.id),
    project: row.project_name,
    principal: row.principal_name,
    plan: formatId("plan", row.plan_id),
    vapp: formatId("vapp", row.vapp_id),
    vappName: row.vapp_name,
    run: formatId("run", row.run_id),
    action: row.action,
    summary: row.summary,
    bounds: row.bounds as unknown as Bounds,
    state: row.state,
    createdAt: row.created_at.toISOString(),
    finishedAt: row.finished_at?.toISOString() ?? null,
  };
}
