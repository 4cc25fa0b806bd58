import { planRequestSchema, planViewSchema } from "#domain/plan.ts";
import { makePlan, showPlan } from "#app/plan.ts";
import { operation } from "#api/operation.ts";

export const planOperations = [
  operation({
    id: "planMake",
    method: "POST",
    path: "/v1/plans",
    tag: "plan",
    summary: "Say what a change would do",
    description: "Steps, placement, cost, quota and policy. Nothing but the plan itself is stored, and no endpoint is changed.",
    body: planRequestSchema,
    answer: planViewSchema,
    status: 201,
    keyed: "kept",
    async handle(ctx, { body }) {
      const plan = await makePlan(ctx, body);
      return { body: plan, location: `/v1/plans/${plan.id}` };
    },
  }),
  operation({
    id: "planShow",
    method: "GET",
    path: "/v1/plans/{plan}",
    tag: "plan",
    summary: "Show a plan",
    answer: planViewSchema,
    handle: async (ctx, { params }) => ({ body: await showPlan(ctx, params.plan) }),
  }),
];
