/** What the ways into machines exchange with people: tickets for browsers, keys for ssh. */
import { z } from "zod";

/** `type base64 [comment]`, one line, the types the guests' sshd takes. */
export const publicKeyPattern =
  /^(ssh-ed25519|ssh-rsa|ecdsa-sha2-nistp(?:256|384|521)) [A-Za-z0-9+/]{40,1000}={0,2}(?: [\x20-\x7e]{0,200})?$/;

export const sshKeySecondsMax = 300;

export const sshKeyRequestSchema = z
  .strictObject({
    publicKey: z.string().regex(publicKeyPattern, "one OpenSSH public key, on one line"),
    seconds: z.int().min(1).max(sshKeySecondsMax).default(60).meta({ description: "How long it opens the door; sessions outlive it" }),
  })
  .meta({ id: "SshKeyRequest" });

export const sshKeyViewSchema = z
  .object({
    user: z.string(),
    port: z.int(),
    hostKey: z.string().meta({ description: "Public key of the machine, for known_hosts; it came through the endpoint, not the network" }),
    expiresAt: z.string(),
  })
  .meta({ id: "SshKey" });
export type SshKeyView = z.infer<typeof sshKeyViewSchema>;

export const consoleTicketSchema = z
  .object({
    ticket: z
      .string()
      .meta({ description: "Offer it as the subprotocol `ticket.<ticket>` beside `stratiform`; it opens one console once" }),
    expiresAt: z.string(),
  })
  .meta({ id: "ConsoleTicket" });

export const tunnelQuerySchema = z.strictObject({
  port: z.coerce.number().int().min(1).max(65_535).meta({ description: "TCP port of the machine" }),
  segment: z.string().max(64).optional().meta({ description: "Name of the segment; default: the machine's first" }),
});
