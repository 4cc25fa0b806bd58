/** One operation as a route of the HTTP framework. */
import type { FastifyInstance, FastifyReply, FastifyRequest } from "fastify";
import { z } from "zod";
import { AppError } from "#domain/error.ts";
import { listEvents } from "#app/event.ts";
import { eventHead } from "#app/request.ts";
import type { eventQuerySchema } from "#api/event.ts";
import { eventStream } from "#api/event-stream.ts";
import { headerTokenHash } from "#api/credential.ts";
import { apiLimits } from "#api/limits.ts";
import { outcomeOf, type Outcome } from "#api/once.ts";
import type { Operation, Request } from "#api/operation.ts";
import { problemContentType, problemSchema } from "#api/problem.ts";
import type { JsonSchema } from "#api/schemas.ts";
import type { ApiScope } from "#api/scope.ts";
import { parsed } from "#api/validation.ts";

const nothing = z.strictObject({});

export function registerOperation(app: FastifyInstance, scope: ApiScope, operation: Operation, answer: JsonSchema | undefined): void {
  const status = operation.answer === undefined ? 204 : (operation.status ?? 200);
  app.route({
    method: operation.method,
    url: operation.path.replaceAll(/\{(\w+)\}/g, ":$1"),
    ...(answer === undefined ? {} : { schema: { response: { [status]: answer } } }),
    handler: async (request, reply) => {
      const parts = partsOf(operation, request);
      if (operation.streams === true && wantsStream(request)) return stream(scope, request, reply, parts);
      return send(reply, await carryOut(scope, operation, request, reply, parts));
    },
  });
}

function partsOf(operation: Operation, request: FastifyRequest): Request<string, unknown, unknown> {
  const hasBody = request.body !== undefined && request.body !== null;
  return {
    params: request.params as Readonly<Record<string, string>>,
    query: parsed(operation.query ?? nothing, { ...(request.query as object) }, "query"),
    body: parsed(operation.body ?? nothing, operation.body === undefined && !hasBody ? {} : request.body, "body"),
    tokenHash: headerTokenHash(request),
    ifGeneration: operation.guarded === true && operation.method === "PUT" ? generationOf(request) : undefined,
  };
}

async function carryOut(
  scope: ApiScope,
  operation: Operation,
  request: FastifyRequest,
  reply: FastifyReply,
  parts: Request<string, unknown, unknown>,
): Promise<Outcome> {
  const timeout = AbortSignal.timeout(operation.timeoutMs ?? apiLimits.requestMs);
  // A change that was asked for goes on when the client is gone: a repetition finds its answer. A question nobody hears is dropped.
  const changes = operation.method !== "GET";
  const signal = changes ? timeout : AbortSignal.any([timeout, goneSignal(reply), scope.closing]);
  const ctx = scope.contextOf(request, signal);
  const key = request.headers["idempotency-key"];
  if (operation.keyed === undefined || key === undefined) return outcomeOf(operation, await operation.handle(ctx, parts));
  return scope.once.run(ctx, operation, String(key), request.url, parts);
}

function send(reply: FastifyReply, outcome: Outcome): FastifyReply {
  reply.code(outcome.status).headers(outcome.headers);
  // A stored one comes back with its members in another order; parsing restores it, so that a repetition gets the same bytes.
  if (outcome.isProblem) return reply.type(problemContentType).send(JSON.stringify(problemSchema.parse(outcome.body)));
  return outcome.status === 204 ? reply.send() : reply.send(outcome.body);
}

async function stream(
  scope: ApiScope,
  request: FastifyRequest,
  reply: FastifyReply,
  parts: Request<string, unknown, unknown>,
): Promise<FastifyReply> {
  const query = parts.query as z.infer<typeof eventQuerySchema>;
  const ended = AbortSignal.any([goneSignal(reply), scope.closing]);
  const ctx = scope.contextOf(request, ended);
  const after = lastEventId(request) ?? (query.after === "latest" ? await eventHead(scope.platform) : query.after);
  const leave = scope.limits.streams.enter(ctx.actor.principalId);
  ended.addEventListener("abort", leave, { once: true });
  // One page is read before the headers go out, so that a refusal is an answer and not a broken stream.
  const operationCtx = { ...ctx, signal: AbortSignal.any([ended, AbortSignal.timeout(apiLimits.requestMs)]) };
  try {
    await listEvents(operationCtx, { after, limit: 1, ...(query.vapp === undefined ? {} : { vapp: query.vapp }) });
  } catch (error) {
    leave();
    throw error;
  }
  reply.code(200).header("content-type", "text/event-stream; charset=utf-8").header("x-accel-buffering", "no");
  return reply.send(eventStream({ ctx, head: scope.head, after, vapp: query.vapp, mayGoOn: () => scope.stillValid(request) }));
}

/** Aborts when the answer is finished or its connection is gone. */
function goneSignal(reply: FastifyReply): AbortSignal {
  const gone = new AbortController();
  reply.raw.once("close", () => gone.abort(new AppError("cancelled", "the client went away")));
  return gone.signal;
}

function wantsStream(request: FastifyRequest): boolean {
  return (request.headers.accept ?? "").includes("text/event-stream");
}

function lastEventId(request: FastifyRequest): number | undefined {
  const text = request.headers["last-event-id"];
  if (text === undefined || text === "") return undefined;
  return parsed(z.coerce.number().int().min(0), text, "Last-Event-ID header");
}

function generationOf(request: FastifyRequest): number | "new" | undefined {
  const { "if-match": match, "if-none-match": noneMatch } = request.headers;
  if (noneMatch !== undefined) {
    if (noneMatch === "*" && match === undefined) return "new";
    throw badCondition("If-None-Match", "send `If-None-Match: *`, or If-Match with an ETag");
  }
  if (match === undefined || match === "*") return undefined;
  const generation = /^"([1-9]\d{0,8})"$/.exec(match)?.[1];
  if (generation === undefined) throw badCondition("If-Match", 'send one ETag as it was given, such as `"3"`');
  return Number(generation);
}

function badCondition(header: string, nearest: string): AppError {
  return new AppError("invalid_input", `${header} is not valid`, {
    detail: [{ constraint: `${header} names one generation`, source: `${header} header`, nearest }],
  });
}
