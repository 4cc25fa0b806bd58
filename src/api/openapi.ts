/** The OpenAPI 3.1 document, made of the operations. */
import { errorCodes } from "#domain/error.ts";
import { operations } from "#api/operations.ts";
import type { Operation } from "#api/operation.ts";
import { problemContentType, problemSchema, problemStatus } from "#api/problem.ts";
import { makeSchemaSet, openapiDialect, type JsonSchema, type SchemaSet } from "#api/schemas.ts";

const tags: Readonly<Record<string, string>> = {
  plan: "What a change would do, before it does it",
  order: "Requests to carry out one plan",
  run: "Executions of plans, step by step",
  vapp: "Applications and the machines they are made of",
  image: "Bootable things in several variants",
  offering: "The catalogue",
  site: "Places with one fabric",
  endpoint: "Managers of machines",
  event: "What happened",
  audit: "Who did what, and why it was allowed or refused",
  bill: "What it costs",
};

const pathParameters: Readonly<Record<string, string>> = {
  plan: "Id of a plan",
  order: "Id of an order",
  run: "Id of a run",
  vapp: "Id or name of a vApp",
  machine: "Name of a machine of the vApp",
  image: "Name of an image",
  offering: "Name of an offering, or name@version",
  site: "Name of a site",
  endpoint: "Name of an endpoint",
};

/** `version` is the product's. The same operations give the same bytes. */
export function openapiDocument(version: string): JsonSchema {
  const schemas = makeSchemaSet(openapiDialect);
  schemas.add(problemSchema, "output");
  const paths: Record<string, Record<string, JsonSchema>> = {};
  for (const operation of operations) {
    paths[operation.path] ??= {};
    paths[operation.path]![operation.method.toLowerCase()] = describe(operation, schemas);
  }
  return {
    openapi: "3.1.0",
    info: {
      title: "Stratiform",
      version,
      license: { name: "Apache-2.0", identifier: "Apache-2.0" },
      description: "A control plane that turns virtualization of any vendor into a cloud. Realised things change only through orders.",
    },
    servers: [{ url: "/" }],
    security: [{ token: [] }],
    tags: Object.entries(tags).map(([name, description]) => ({ name, description })),
    paths,
    components: {
      securitySchemes: { token: { type: "http", scheme: "bearer" } },
      responses: problemResponses(),
      schemas: Object.fromEntries([...schemas.components].toSorted(([a], [b]) => (a < b ? -1 : 1))),
    },
  };
}

function describe(operation: Operation, schemas: SchemaSet): JsonSchema {
  const answer = operation.answer === undefined ? undefined : schemas.add(operation.answer, "output");
  return {
    operationId: operation.id,
    tags: [operation.tag],
    summary: operation.summary,
    ...(operation.description === undefined ? {} : { description: operation.description }),
    parameters: [...pathOf(operation), ...queryOf(operation, schemas), ...headersOf(operation)],
    ...(operation.body === undefined
      ? {}
      : { requestBody: { required: true, content: { "application/json": { schema: schemas.add(operation.body, "input") } } } }),
    responses: {
      [operation.socket !== undefined ? "101" : operation.answer === undefined ? "204" : String(operation.status ?? 200)]: {
        description: operation.summary,
        ...(operation.guarded === true ? { headers: { ETag: { schema: { type: "string" } } } } : {}),
        ...(answer === undefined ? {} : { content: contentOf(operation, answer) }),
      },
      ...Object.fromEntries(problemStatusesOf(operation).map((status) => [status, { $ref: `#/components/responses/Problem${status}` }])),
    },
  };
}

function contentOf(operation: Operation, answer: JsonSchema): JsonSchema {
  const stream = operation.streams === true ? { "text/event-stream": { schema: { type: "string" } } } : {};
  return { "application/json": { schema: answer }, ...stream };
}

function pathOf(operation: Operation): JsonSchema[] {
  return [...operation.path.matchAll(/\{(\w+)\}/g)].map(([, name = ""]) => ({
    name,
    in: "path",
    required: true,
    description: pathParameters[name] ?? name,
    schema: { type: "string" },
  }));
}

function queryOf(operation: Operation, schemas: SchemaSet): JsonSchema[] {
  if (operation.query === undefined) return [];
  const { properties = {} } = schemas.add(operation.query, "input") as { properties?: Record<string, JsonSchema> };
  return Object.entries(properties).map(([name, { description, ...schema }]) => ({
    name,
    in: "query",
    required: false,
    ...(description === undefined ? {} : { description }),
    schema,
  }));
}

function headersOf(operation: Operation): JsonSchema[] {
  const header = (name: string, description: string) => ({ name, in: "header", required: false, description, schema: { type: "string" } });
  return [
    ...(operation.keyed === undefined
      ? []
      : [header("Idempotency-Key", "A repetition with the same key is carried out once and answered the same")]),
    ...(operation.guarded === true && operation.method === "PUT"
      ? [header("If-Match", "ETag the change was decided on"), header("If-None-Match", "`*`: only when it is new")]
      : []),
    ...(operation.streams === true ? [header("Last-Event-ID", "Position to resume a stream at; wins over `after`")] : []),
  ];
}

function problemStatusesOf(operation: Operation): number[] {
  const statuses = [400, 401, 403, 429, 500, 503];
  if (operation.path.includes("{")) statuses.push(404);
  if (operation.method !== "GET") statuses.push(404, 409);
  if (operation.keyed !== undefined) statuses.push(422);
  if (operation.guarded === true && operation.method === "PUT") statuses.push(412);
  if (operation.socket !== undefined) statuses.push(409, 422, 502, 504);
  if (["vappExec", "endpointPut", "machineSshKey", "machineConsoleTicket"].includes(operation.id)) statuses.push(422, 502, 504);
  return [...new Set(statuses)].toSorted((a, b) => a - b);
}

/** One response a status, saying which codes have it. */
function problemResponses(): JsonSchema {
  const statuses = [...new Set(Object.values(problemStatus))].toSorted((a, b) => a - b);
  return Object.fromEntries(
    statuses.map((status) => {
      const codes = Object.entries(problemStatus).filter(([, one]) => one === status);
      const description = codes.map(([code]) => `\`${code}\`: ${errorCodes[code as keyof typeof errorCodes].title}`).join("; ");
      return [`Problem${status}`, { description, content: { [problemContentType]: { schema: { $ref: "#/components/schemas/Problem" } } } }];
    }),
  );
}
