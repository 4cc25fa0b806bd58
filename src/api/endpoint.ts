import { endpointViewSchema, endpointWriteSchema } from "#domain/catalogue.ts";
import { checkEndpoint, listEndpoints, putEndpoint } from "#app/endpoint.ts";
import { operation } from "#api/operation.ts";
import { listOf, named, whole } from "#api/page.ts";
import { parsed } from "#api/validation.ts";

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
    summary: "Look at an endpoint now",
    answer: endpointViewSchema,
    keyed: "kept",
    handle: async (ctx, { params }) => ({ body: await checkEndpoint(ctx, params.endpoint) }),
  }),
];
