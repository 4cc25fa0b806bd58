/**
 * Tickets for browsers, which cannot send a header with a WebSocket: a ticket opens one console once, within seconds. It is sealed with
 * the installation's key and names its holder by the hash of the token it was given for, so no process has to remember it and it is worth
 * nothing once that token is revoked. That it was used is a row every process sees.
 */
import { randomBytes } from "node:crypto";
import { z } from "zod";
import type { AppContext, Platform } from "#app/context.ts";
import { findConsole, type MachineName } from "#app/access.ts";
import { projectResource, theVappNamed } from "#app/resource.ts";
import { authenticateHash } from "#app/session.ts";
import { useCase } from "#app/use-case.ts";
import { keyClaim } from "#store/idempotency.ts";

export const ticketSeconds = 30;
const sealPlace = "ticket/console";
const longestTicket = 1_024;

const ticketSchema = z.strictObject({
  nonce: z.string(),
  token: z.string(),
  principal: z.string(),
  vapp: z.string(),
  machine: z.string(),
  until: z.int(),
});

export interface Ticket {
  readonly ticket: string;
  readonly expiresAt: string;
}

/** `token` is the hash of the one the request carried. */
export const issueConsoleTicket = useCase(
  {
    action: "vapp.console",
    resource: async (ctx, { vapp }: MachineName & { token: Buffer }) => projectResource(await theVappNamed(ctx, vapp)),
  },
  async (ctx, { vapp, machine, token }): Promise<Ticket> => {
    await findConsole(ctx, { vapp, machine });
    const until = ctx.clock.now() + ticketSeconds * 1_000;
    const body: z.infer<typeof ticketSchema> = {
      nonce: randomBytes(16).toString("base64url"),
      token: token.toString("base64url"),
      principal: ctx.actor.principalId,
      vapp,
      machine,
      until,
    };
    const ticket = ctx.platform.secrets.seal(sealPlace, JSON.stringify(body)).toString("base64url");
    return { ticket, expiresAt: new Date(until).toISOString() };
  },
);

/** The hash of the token it was given for; null when it is none, is for something else, too old, or was used. Uses it up. */
export async function redeemConsoleTicket(
  platform: Platform,
  clock: AppContext["clock"],
  ticket: string,
  name: MachineName,
): Promise<Buffer | null> {
  const body = ticketOpen(platform, ticket);
  if (body === null || body.until < clock.now() || body.vapp !== name.vapp || body.machine !== name.machine) return null;
  const token = Buffer.from(body.token, "base64url");
  if ((await authenticateHash(platform, token)) === null) return null;
  const claim = { principalId: body.principal, key: `console-ticket:${body.nonce}`, attempt: "ticket" };
  return (await keyClaim(platform.database, claim, "console-ticket")) ? token : null;
}

function ticketOpen(platform: Platform, ticket: string): z.infer<typeof ticketSchema> | null {
  if (ticket.length > longestTicket) return null;
  try {
    return ticketSchema.parse(JSON.parse(platform.secrets.open(sealPlace, Buffer.from(ticket, "base64url"))));
  } catch {
    // Made up, cut off, or sealed with another installation's key.
    return null;
  }
}
