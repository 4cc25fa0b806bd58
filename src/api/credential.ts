/** What a request shows to be let in: a token in its header, or, where a browser opens a WebSocket, a ticket among the subprotocols. */
import type { FastifyRequest } from "fastify";
import type { Clock } from "#domain/context.ts";
import type { Actor, Platform } from "#app/context.ts";
import { redeemConsoleTicket } from "#app/access-ticket.ts";
import { authenticateHash, tokenHash } from "#app/session.ts";
import { actorOf } from "#api/access.ts";

export interface Credential {
  readonly actor: Actor;
  /** Of the token; asked again while a stream or a session lasts. */
  readonly tokenHash: Buffer;
}

export const consolePath = "/v1/vapps/{vapp}/machines/{machine}/console";
const consoleRoute = consolePath.replaceAll(/\{(\w+)\}/g, ":$1");
const ticketPrefix = "ticket.";

/** Throws `unauthenticated` without saying what is wrong. */
export async function credentialOf(platform: Platform, clock: Clock, request: FastifyRequest): Promise<Credential> {
  const { authorization } = request.headers;
  const ticket = authorization === undefined && request.routeOptions.url === consoleRoute ? ticketOf(request) : undefined;
  if (ticket !== undefined) {
    const hash = await redeemConsoleTicket(platform, clock, ticket, request.params as { vapp: string; machine: string });
    const actor = hash === null ? null : await authenticateHash(platform, hash);
    if (hash !== null && actor !== null) return { actor, tokenHash: hash };
  }
  return { actor: await actorOf(platform, authorization), tokenHash: headerTokenHash(request) };
}

export function headerTokenHash(request: FastifyRequest): Buffer {
  return tokenHash((request.headers.authorization ?? "").replace(/^Bearer +/i, ""));
}

function ticketOf(request: FastifyRequest): string | undefined {
  const offered = (request.headers["sec-websocket-protocol"] ?? "").split(",").map((name) => name.trim());
  return offered.find((name) => name.startsWith(ticketPrefix))?.slice(ticketPrefix.length);
}
