import type { FastifyRequest } from "fastify";
import type { Clock, Log } from "#domain/context.ts";
import type { AppContext, Platform } from "#app/context.ts";
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
}
