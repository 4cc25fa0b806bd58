/**
 * An operation that becomes a WebSocket. Everything that can be refused is refused before the upgrade, as the same problem documents as
 * everywhere: token or ticket, origin, limits, policy, the machine's state, and whether the other end could be opened.
 */
import fastifyWebsocket from "@fastify/websocket";
import type { FastifyInstance, FastifyRequest } from "fastify";
import type { WebSocket } from "ws";
import { z } from "zod";
import { AppError } from "#domain/error.ts";
import type { OpenWay } from "#app/access.ts";
import { bridge, frameBytesMax } from "#api/byte-bridge.ts";
import { apiLimits } from "#api/limits.ts";
import type { Operation } from "#api/operation.ts";
import type { ApiScope } from "#api/scope.ts";
import { parsed } from "#api/validation.ts";

/** What a client may name beside a ticket; a server must choose one of what was offered. */
export const socketProtocol = "stratiform";

/** Before the routes: it watches them being registered. */
export async function registerSockets(app: FastifyInstance): Promise<void> {
  await app.register(fastifyWebsocket, {
    options: {
      maxPayload: frameBytesMax,
      perMessageDeflate: false,
      handleProtocols: (offered: Set<string>) => (offered.has(socketProtocol) ? socketProtocol : false),
    },
    // The bridge has its own ear on errors, and says why it ended. Here there is nothing to add.
    errorHandler: () => {},
    // `ApiScope.closing` has told every bridge already.
    preClose: (done: () => void) => done(),
  });
  app.addHook("preHandler", async (request) => {
    if (request.ws === null || !isUpgrade(request) || request.is404 || request.routeOptions.config.isSocket === true) return;
    throw new AppError("invalid_input", "there is no WebSocket here", {
      detail: [{ constraint: "this route answers HTTP requests", source: "OpenAPI document", nearest: "leave out the Upgrade header" }],
    });
  });
}

declare module "fastify" {
  interface FastifyContextConfig {
    readonly isSocket?: boolean;
  }
}

interface Opened {
  readonly way: OpenWay;
  readonly leave: () => void;
  /** Whoever calls it sees to the end from then on. */
  readonly take: () => void;
}

export function registerSocket(app: FastifyInstance, scope: ApiScope, operation: Operation): void {
  const { socket: open, halfClose = false } = operation;
  if (open === undefined) throw new Error("not a socket");
  const opened = new WeakMap<FastifyRequest, Opened>();
  app.route({
    method: "GET",
    url: operation.path.replaceAll(/\{(\w+)\}/g, ":$1"),
    config: { isSocket: true },
    handler: (request) => operation.handle(scope.contextOf(request, scope.closing), { params: {}, query: {} } as never),
    preHandler: async (request) => {
      if (!isUpgrade(request)) return;
      requireOwnOrigin(request);
      const query = parsed(operation.query ?? z.strictObject({}), { ...(request.query as object) }, "query");
      opened.set(request, await openWay(scope, request, (ctx) => open(ctx, { params: request.params as never, query })));
    },
    wsHandler: (socket: WebSocket, request) => {
      const held = opened.get(request);
      if (held === undefined) return socket.terminate();
      opened.delete(request);
      held.take();
      keep(scope, carry(scope, request, socket, held, halfClose));
    },
  });
}

async function openWay(
  scope: ApiScope,
  request: FastifyRequest,
  open: (ctx: ReturnType<ApiScope["contextOf"]>) => Promise<OpenWay>,
): Promise<Opened> {
  const raw = request.raw.socket;
  // Bounds the opening only: what was opened outlives this signal's time.
  const opening = new AbortController();
  const timer = setTimeout(() => opening.abort(new AppError("timeout", "the machine was not reached in time")), apiLimits.requestMs);
  const gone = () => opening.abort(new AppError("cancelled", "the client went away"));
  raw.once("close", gone);
  const ctx = scope.contextOf(request, opening.signal);
  const leave = scope.limits.sockets.enter(ctx.actor.principalId);
  try {
    const way = await open(ctx);
    // Between here and the upgrade the client may leave, or its handshake be refused: then this gives everything back.
    const abandoned = () => {
      leave();
      way.stream.destroy();
      keep(scope, way.ended({ reason: "the client left before it stood", durationMs: 0, bytesIn: 0, bytesOut: 0 }));
    };
    if (raw.destroyed) {
      abandoned();
      throw new AppError("cancelled", "the client went away");
    }
    raw.once("close", abandoned);
    return { way, leave, take: () => void raw.off("close", abandoned) };
  } catch (error) {
    leave();
    throw error;
  } finally {
    clearTimeout(timer);
    raw.off("close", gone);
  }
}

async function carry(
  scope: ApiScope,
  request: FastifyRequest,
  socket: WebSocket,
  { way, leave }: Opened,
  halfClose: boolean,
): Promise<void> {
  scope.upgraded(request);
  const end = await bridge({
    socket,
    stream: way.stream,
    clock: scope.clock,
    closing: scope.closing,
    halfClose,
    mayGoOn: async () => way.mayGoOn(await scope.actorNow(request)),
  });
  leave();
  await way.ended(end);
}

/** Waited for when the server closes. */
function keep(scope: ApiScope, work: Promise<void>): void {
  scope.sessions.add(work);
  void work.finally(() => scope.sessions.delete(work));
}

function isUpgrade(request: FastifyRequest): boolean {
  return (request.headers.upgrade ?? "").toLowerCase() === "websocket" && (request.ws as unknown) === true;
}

/** A page of another origin gets nowhere, also with a ticket. Programs send no origin. */
function requireOwnOrigin(request: FastifyRequest): void {
  const { origin, host } = request.headers;
  if (origin === undefined) return;
  // A page cannot set this header; a proxy that rewrites Host says here what the browser asked for.
  const forwarded = String(request.headers["x-forwarded-host"] ?? "")
    .split(",")[0]!
    .trim();
  const asked = URL.canParse(origin) ? new URL(origin).host : "";
  if (asked !== "" && (asked === host || asked === forwarded)) return;
  throw new AppError("forbidden", "this page may not open a WebSocket here", {
    detail: [
      {
        constraint: "a browser connects from a page of this server",
        source: "Origin header",
        nearest: "open it from this server's console; a proxy must keep Host or send X-Forwarded-Host",
      },
    ],
  });
}
