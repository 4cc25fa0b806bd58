import { sshKeyRequestSchema, sshKeyViewSchema, tunnelQuerySchema } from "#domain/access.ts";
import { openTunnel } from "#app/access.ts";
import { authorizeSshKey } from "#app/access-key.ts";
import { operation, socketOperation } from "#api/operation.ts";

export const tunnelOperations = [
  socketOperation({
    id: "machineTunnel",
    path: "/v1/vapps/{vapp}/machines/{machine}/tunnel",
    tag: "vapp",
    summary: "Connect to a TCP port of a machine, as a WebSocket",
    description:
      "One WebSocket is one TCP connection into the machine's segment, isolated ones included. Frames are bytes, as of the console, with the same close " +
      "codes; an empty frame of the client is the end of its input. The blueprint's access.ssh says who may, policy (action vapp.tunnel, context.port) to which ports.",
    query: tunnelQuerySchema,
    halfClose: true,
    socket: (ctx, { params, query }) => openTunnel(ctx, { vapp: params.vapp, machine: params.machine, ...query }),
  }),
  operation({
    id: "machineSshKey",
    method: "POST",
    path: "/v1/vapps/{vapp}/machines/{machine}/ssh-keys",
    tag: "vapp",
    summary: "Let an ssh key into a machine for a while, and learn the machine's own",
    body: sshKeyRequestSchema,
    answer: sshKeyViewSchema,
    status: 201,
    keyed: "secret",
    handle: async (ctx, { params, body }) => ({
      body: await authorizeSshKey(ctx, { vapp: params.vapp, machine: params.machine, ...body }),
    }),
  }),
];
