import { consoleTicketSchema } from "#domain/access.ts";
import { openConsole } from "#app/access.ts";
import { issueConsoleTicket } from "#app/access-ticket.ts";
import { consolePath } from "#api/credential.ts";
import { operation, socketOperation } from "#api/operation.ts";

export const consoleSocketOperations = [
  socketOperation({
    id: "machineConsole",
    path: consolePath,
    tag: "vapp",
    summary: "Open the serial console of a machine, as a WebSocket",
    description:
      "Frames are bytes in both directions, at most 64 KiB each from the client. Programs send the token as a header; browsers get a ticket first and " +
      "offer the subprotocols `stratiform` and `ticket.<ticket>`. Who, when, how long and how many bytes is audited, what was said is not. Close codes: " +
      "1000 the machine's side ended, 1001 the server closes, 1009 a frame was too large, 1011 the connection to the machine broke, 4000 idle for 15 " +
      "minutes, 4001 open for 12 hours, 4003 no longer allowed.",
    socket: (ctx, { params }) => openConsole(ctx, { vapp: params.vapp, machine: params.machine }),
  }),
  operation({
    id: "machineConsoleTicket",
    method: "POST",
    path: "/v1/vapps/{vapp}/machines/{machine}/console-ticket",
    tag: "vapp",
    summary: "Get a ticket that opens the console once, for a browser",
    description:
      "Valid for 30 seconds, for this machine, named by the same words in both paths. Says what speaks against a console before it is opened.",
    answer: consoleTicketSchema,
    status: 201,
    keyed: "secret",
    handle: async (ctx, { params, tokenHash }) => ({
      body: await issueConsoleTicket(ctx, { vapp: params.vapp, machine: params.machine, token: tokenHash }),
    }),
  }),
];
