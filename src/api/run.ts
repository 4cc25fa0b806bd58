import { decisionRequestSchema, runViewSchema } from "#domain/order.ts";
import { cancelRun, decideRun, showRun } from "#app/run.ts";
import { operation } from "#api/operation.ts";

export const runOperations = [
  operation({
    id: "runShow",
    method: "GET",
    path: "/v1/runs/{run}",
    tag: "run",
    summary: "Show a run with the state of every step",
    answer: runViewSchema,
    handle: async (ctx, { params }) => ({ body: await showRun(ctx, params.run) }),
  }),
  operation({
    id: "runCancel",
    method: "POST",
    path: "/v1/runs/{run}/cancel",
    tag: "run",
    summary: "Ask a run to stop and undo what it did",
    answer: runViewSchema,
    keyed: "kept",
    handle: async (ctx, { params }) => ({ body: await cancelRun(ctx, params.run) }),
  }),
  operation({
    id: "runDecide",
    method: "POST",
    path: "/v1/runs/{run}/decisions",
    tag: "run",
    summary: "Decide for a step that waits for a person",
    body: decisionRequestSchema,
    answer: runViewSchema,
    keyed: "kept",
    handle: async (ctx, { params, body }) => ({ body: await decideRun(ctx, { ...body, run: params.run }) }),
  }),
];
