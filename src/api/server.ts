/**
 * The HTTP edge: a thin layer that turns requests into calls of use cases and their results into answers. Every route but `/healthz`
 * asks for a token before anything else, so without one nobody learns even which routes there are. What no route takes and a browser
 * shows is the console's (`console.ts`).
 *
 * A request passes: id, limits, token, rate; parse (`validation.ts`); once-only (`once.ts`); the use case; the compiled serializer.
 * Every failure on the way becomes a problem document in one place.
 */
import { randomUUID } from "node:crypto";
import { fastify, type FastifyInstance, type FastifyReply, type FastifyRequest } from "fastify";
import type { Clock, Log } from "#domain/context.ts";
import { AppError } from "#domain/error.ts";
import { logWith } from "#lib/log.ts";
import type { Platform } from "#app/context.ts";
import { databaseTrouble, isReady } from "#app/request.ts";
import { authenticateHash } from "#app/session.ts";
import { actorOf, makeLimits } from "#api/access.ts";
import { credentialOf, type Credential } from "#api/credential.ts";
import { EventHead } from "#api/event-stream.ts";
import { answerConsole, consoleNotBuilt, isForConsole, registerConsole, type ConsoleFind } from "#api/console.ts";
import { apiLimits } from "#api/limits.ts";
import { OnceOnly } from "#api/once.ts";
import { openapiDocument } from "#api/openapi.ts";
import { operations } from "#api/operations.ts";
import { problemContentType, problemOf } from "#api/problem.ts";
import { RequestRecorder } from "#api/request-recorder.ts";
import { registerOperation } from "#api/route.ts";
import { makeSchemaSet, serializerDialect } from "#api/schemas.ts";
import type { ApiScope } from "#api/scope.ts";
import { registerSocket, registerSockets } from "#api/socket-route.ts";

export interface ApiOptions {
  readonly platform: Platform;
  readonly host: string;
  /** 0: any free port. */
  readonly port: number;
  readonly log: Log;
  readonly clock: Clock;
  /** Version of the product, for the OpenAPI document. */
  readonly version?: string;
  /** Where the built console is; default: nowhere. */
  readonly findConsole?: ConsoleFind;
}

export interface Api {
  readonly url: string;
  /** Method and path of every registered route, for those who check them all. */
  readonly routes: readonly { readonly method: string; readonly path: string }[];
  /** Ends streams, lets requests under way finish for a moment, closes. */
  close(): Promise<void>;
}

const closeGraceMs = 5_000;
const closePollMs = 20;
const openPaths = new Set(["/healthz"]);

/** What the hooks know about a request under way. */
interface Visit {
  credential?: Credential;
  leave?: () => void;
}

export async function startApi(options: ApiOptions): Promise<Api> {
  const { platform, log, findConsole = consoleNotBuilt } = options;
  const app = fastify({
    logger: false,
    bodyLimit: apiLimits.bodyBytes,
    genReqId: () => `req_${randomUUID()}`,
    exposeHeadRoutes: false,
    // Other protocols are offered as a courtesy, by clients that go on without them.
    http: { shouldUpgradeCallback: ({ headers }) => (headers.upgrade ?? "").toLowerCase() === "websocket" },
    // A path that is none never reaches the hooks, so the token is asked for here.
    frameworkErrors: (error, request, reply) => {
      const judge = actorOf(platform, request.headers.authorization).then(() => error);
      void judge.catch((refusal: unknown) => refusal).then((problem) => sendProblem(problem, request, reply, log));
    },
  });
  const routes: { method: string; path: string }[] = [];
  app.addHook("onRoute", (route) => {
    for (const method of [route.method].flat()) routes.push({ method, path: route.url });
  });
  const closing = new AbortController();
  const recorder = new RequestRecorder(platform, log);
  const visits = new WeakMap<FastifyRequest, Visit>();
  const scope = makeScope(options, { visits, recorder, closing: closing.signal });
  // Only JSON is taken; a body of any other kind is refused by the framework with 415.
  app.removeContentTypeParser("text/plain");
  const isOpen = (request: FastifyRequest) => openPaths.has(request.routeOptions.url ?? "") || isForConsole(request, findConsole);
  await registerSockets(app);
  registerConsole(app);
  guard(app, scope, { visits, recorder, isOpen });
  answerUnknown(app, findConsole);
  answerErrors(app, log);
  registerPlain(app, scope, options.version ?? "0.1.0");
  registerAll(app, scope);
  await app.listen({ host: options.host, port: options.port });
  const address = app.server.address();
  if (address === null || typeof address === "string") throw new Error("the server listens on no port");
  const host = address.family === "IPv6" ? `[${address.address}]` : address.address;
  return {
    url: `http://${host}:${address.port}`,
    routes,
    async close() {
      closing.abort();
      await closeServer(app);
      await Promise.allSettled(scope.sessions);
      scope.once.close();
      await recorder.close();
    },
  };
}

async function closeServer(app: FastifyInstance): Promise<void> {
  // A connection whose last answer ends after the close began is idle then, and nobody would close it.
  const idle = setInterval(() => app.server.closeIdleConnections(), closePollMs);
  const grace = setTimeout(() => app.server.closeAllConnections(), closeGraceMs);
  await app.close();
  clearInterval(idle);
  clearTimeout(grace);
}

interface ScopeParts {
  readonly visits: WeakMap<FastifyRequest, Visit>;
  readonly recorder: RequestRecorder;
  readonly closing: AbortSignal;
}

function makeScope({ platform, log, clock }: ApiOptions, { visits, recorder, closing }: ScopeParts): ApiScope {
  const scope: ApiScope = {
    platform,
    log,
    clock,
    limits: makeLimits(clock),
    once: new OnceOnly(platform, log),
    head: new EventHead(platform, clock, log),
    closing,
    contextOf(request, signal) {
      const { actor } = visits.get(request)?.credential ?? {};
      if (actor === undefined) throw new Error("a handler without an actor");
      return {
        platform,
        actor,
        requestId: request.id,
        signal,
        log: logWith(log, { requestId: request.id, principal: actor.principalId }),
        clock,
      };
    },
    stillValid: async (request) => (await scope.actorNow(request)) !== null,
    async actorNow(request) {
      const { tokenHash } = visits.get(request)?.credential ?? {};
      return tokenHash === undefined ? null : authenticateHash(platform, tokenHash);
    },
    upgraded(request) {
      const { leave, credential } = visits.get(request) ?? {};
      leave?.();
      recorder.add(recordOf(request, credential, 101, 0));
    },
    sessions: new Set(),
  };
  return scope;
}

interface GuardParts {
  readonly visits: WeakMap<FastifyRequest, Visit>;
  readonly recorder: RequestRecorder;
  /** Whether it is answered without a token. */
  isOpen(request: FastifyRequest): boolean;
}

/** Hooks around every route, unknown ones included. */
function guard(app: FastifyInstance, scope: ApiScope, { visits, recorder, isOpen }: GuardParts): void {
  const { limits, platform } = scope;
  app.addHook("onRequest", async (request, reply) => {
    const visit: Visit = {};
    visits.set(request, visit);
    reply.header("x-request-id", request.id).header("cache-control", "no-store").header("x-content-type-options", "nosniff");
    if (isOpen(request)) return;
    visit.leave = limits.requests.enter("");
    // What is upgraded, or refused to somebody who has left, ends without the framework noticing.
    if ((request.ws as unknown) === true) request.raw.socket.once("close", visit.leave);
    try {
      visit.credential = await credentialOf(platform, scope.clock, request);
    } catch (error) {
      limits.refusal.take(request.ip);
      throw error;
    }
    limits.principal.take(visit.credential.actor.principalId);
  });
  app.addHook("onResponse", async (request, reply) => {
    const visit = visits.get(request);
    visit?.leave?.();
    if (isOpen(request)) return;
    recorder.add(recordOf(request, visit?.credential, reply.statusCode, Math.round(reply.elapsedTime)));
  });
  // Without an answer there is no onResponse: the client went away first.
  app.addHook("onRequestAbort", async (request) => visits.get(request)?.leave?.());
}

function recordOf(request: FastifyRequest, credential: Credential | undefined, status: number, durationMs: number) {
  return {
    id: request.id,
    principalId: credential?.actor.principalId ?? null,
    method: request.method,
    route: request.routeOptions.url ?? "unknown",
    status,
    durationMs,
  };
}

function answerUnknown(app: FastifyInstance, findConsole: ConsoleFind): void {
  app.setNotFoundHandler((request, reply) => {
    if (isForConsole(request, findConsole)) return answerConsole(request, reply, findConsole);
    throw new AppError("not_found", "there is no such route", {
      detail: [{ constraint: "a request names a route of the API", source: "OpenAPI document", nearest: "see /v1/openapi.json" }],
    });
  });
}

function answerErrors(app: FastifyInstance, log: Log): void {
  app.setErrorHandler((thrown, request, reply) => sendProblem(databaseTrouble(thrown), request, reply, log));
}

export function sendProblem(error: unknown, request: FastifyRequest, reply: FastifyReply, log: Log): FastifyReply {
  const problem = problemOf(error, request.id);
  const fields = {
    requestId: request.id,
    method: request.method,
    route: request.routeOptions.url,
    code: problem.code,
    ...internalOf(error),
  };
  if (problem.code === "internal") log.error(fields, "request failed");
  else log.debug(fields, "request refused");
  reply.header("x-request-id", request.id);
  if (problem.status === 401) reply.header("www-authenticate", "Bearer");
  if (problem.retryable) reply.header("retry-after", "1");
  return reply.code(problem.status).type(problemContentType).send(JSON.stringify(problem));
}

/** What only the log may know. */
function internalOf(error: unknown): object {
  if (!(error instanceof Error)) return { error: String(error) };
  const cause = error.cause instanceof Error ? { cause: error.cause.stack } : {};
  return { error: error.stack, ...(error instanceof AppError ? { internal: error.internal } : {}), ...cause };
}

function registerPlain(app: FastifyInstance, scope: ApiScope, version: string): void {
  app.get("/healthz", async (_request, reply) => {
    const ready = await Promise.race([isReady(scope.platform, scope.log), scope.clock.sleep(2_000).then(() => false)]);
    return reply.code(ready ? 200 : 503).send({ status: ready ? "ok" : "unavailable" });
  });
  const document = JSON.stringify(openapiDocument(version));
  app.get("/v1/openapi.json", async (_request, reply) => reply.type("application/json").send(document));
}

function registerAll(app: FastifyInstance, scope: ApiScope): void {
  const schemas = makeSchemaSet(serializerDialect);
  const answers = new Map(
    operations.flatMap(({ id, answer }) => (answer === undefined ? [] : [[id, schemas.add(answer, "output")] as const])),
  );
  for (const [name, component] of schemas.components) app.addSchema({ $id: name, ...component });
  for (const operation of operations) {
    if (operation.socket === undefined) registerOperation(app, scope, operation, answers.get(operation.id));
    else registerSocket(app, scope, operation);
  }
}
