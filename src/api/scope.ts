import type { FastifyRequest } from "fastify";
import type { Clock, Log } from "#domain/context.ts";
import type { Actor, AppContext, Platform } from "#app/context.ts";
import type { Limits } from "#api/access.ts";
import type { EventHead } from "#api/event-stream.ts";
import type { OnceOnly } from "#api/once.ts";

/** What the parts of one server share. */
export interface ApiScope {
  readonly platform: Platform;
  readonly log: Log;
  readonly clock: Clock;
  readonly limits: Limits;
  readonly once: OnceOnly;
  readonly head: EventHead;
  /** Aborts when the server closes. */
  readonly closing: AbortSignal;
  contextOf(request: FastifyRequest, signal: AbortSignal): AppContext;
  stillValid(request: FastifyRequest): Promise<boolean>;
  /** Who is behind the request's token by now; null when it is not valid any more. */
  actorNow(request: FastifyRequest): Promise<Actor | null>;
  /** The request has become a session of its own: it is recorded, and no longer counts as a request under way. */
  upgraded(request: FastifyRequest): void;
  /** Sessions that have not written their end yet. */
  readonly sessions: Set<Promise<void>>;
}
