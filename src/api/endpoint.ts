import { endpointViewSchema, endpointWriteSchema } from "#domain/catalogue.ts";
import { endpointCheckSchema } from "#domain/endpoint.ts";
import { checkEndpoint, checkEndpointWrite } from "#app/endpoint-check.ts";
import { deleteEndpoint, listEndpoints, putEndpoint } from "#app/endpoint.ts";
import { operation } from "#api/operation.ts";
import { listOf, named, whole } from "#api/page.ts";
import { parsed } from "#api/validation.ts";

/** A check has 45 s of its own. */
const checkMs = 60_000;

export const endpointOperations = [
  operation({
    id: "endpointList",
    method: "GET",
    path: "/v1/endpoints",
    tag: "endpoint",
    summary: "List endpoints with what was last seen there",
    answer: listOf(endpointViewSchema, "EndpointList"),
    handle: async (ctx) => ({ body: whole(await listEndpoints(ctx, undefined)) }),
  }),
  operation({
    id: "endpointShow",
    method: "GET",
    path: "/v1/endpoints/{endpoint}",
    tag: "endpoint",
    summary: "Show an endpoint",
    answer: endpointViewSchema,
    guarded: true,
    async handle(ctx, { params }) {
      const endpoint = named(await listEndpoints(ctx, undefined), params.endpoint, "endpoint");
      return { body: endpoint, generation: endpoint.generation };
    },
  }),
  operation({
    id: "endpointPut",
    method: "PUT",
    path: "/v1/endpoints/{endpoint}",
    tag: "endpoint",
    summary: "Add or change an endpoint, and look at it",
    description: "With If-Match only if it still has that generation; with If-None-Match: * only if it is new.",
    body: endpointWriteSchema.omit({ name: true }).meta({ id: "EndpointPut" }),
    answer: endpointViewSchema,
    guarded: true,
    async handle(ctx, { params, body, ifGeneration }) {
      const write = parsed(endpointWriteSchema, { ...body, name: params.endpoint }, "path and body");
      const endpoint = await putEndpoint(ctx, { ...write, ifGeneration });
      return { body: endpoint, generation: endpoint.generation };
    },
  }),
  operation({
    id: "endpointCheck",
    method: "POST",
    path: "/v1/endpoints/{endpoint}/check",
    tag: "endpoint",
    summary: "Check an endpoint now, step by step",
    description: "Answers also when it fails: see `ok` and the lines. What the endpoint says of itself is written down.",
    answer: endpointCheckSchema,
    keyed: "kept",
    timeoutMs: checkMs,
    handle: async (ctx, { params }) => ({ body: await checkEndpoint(ctx, params.endpoint) }),
  }),
  operation({
    id: "endpointTry",
    method: "POST",
    path: "/v1/endpoint-checks",
    tag: "endpoint",
    summary: "Check an endpoint before it is added, step by step",
    description: "Writes nothing; the configuration with its secrets is forgotten at once.",
    body: endpointWriteSchema,
    answer: endpointCheckSchema,
    keyed: "kept",
    timeoutMs: checkMs,
    handle: async (ctx, { body }) => ({ body: await checkEndpointWrite(ctx, body) }),
  }),
  operation({
    id: "endpointDelete",
    method: "DELETE",
    path: "/v1/endpoints/{endpoint}",
    tag: "endpoint",
    summary: "Forget an endpoint",
    description: "Refused while it holds machines of ours, naming them. Nothing at the endpoint is touched.",
    handle: async (ctx, { params }) => ({ body: await deleteEndpoint(ctx, params.endpoint) }),
  }),
];
