/**
 * The fabric of a Linux site: a client of the host agent's API. It holds no state; everything is asked of the agent on its unix
 * socket. Errors arrive as the agent threw them: code, message and refusals.
 */
import { request } from "node:http";
import type { IncomingMessage } from "node:http";
import type { Duplex } from "node:stream";
import { z } from "zod";
import type { CallContext } from "#domain/context.ts";
import type { ErrorCode } from "#domain/error.ts";
import { AppError, errorCodes } from "#domain/error.ts";
import type { OwnerMark } from "#domain/owner.ts";
import type { ExposureFacts, Fabric, FabricCapabilities, FabricFactory, ReachTarget, SegmentFacts } from "#fabric/contract.ts";
import { unixRequest } from "#lib/unix-http.ts";

/** Segment work waits in the agent's queue, at worst behind the start of a site. */
const callLimitMs = 60_000;
/** The agent gives up after 7 s. */
const reachLimitMs = 10_000;

/** Configuration of a site's fabric: where its agent listens. */
export const linuxFabricConfigSchema = z.object({ socket: z.string().startsWith("/") });

export const linuxFabricCapabilities: FabricCapabilities = {
  isolation: true,
  exposure: true,
  reach: true,
  outbound: true,
  ipv6: false,
  multiHost: false,
};

const ownerSchema = z.object({ installation: z.string(), vapp: z.string(), object: z.string() });
const segmentSchema = z.object({
  name: z.string(),
  owner: ownerSchema.nullable(),
  prefix: z.string(),
  gateway: z.string(),
  isolated: z.boolean(),
  attachment: z.string(),
});
const exposureSchema = z.object({
  name: z.string(),
  owner: ownerSchema.nullable(),
  address: z.string(),
  port: z.number(),
  target: z.object({ segment: z.string(), address: z.string(), port: z.number() }),
});
const problemSchema = z.object({
  code: z.string(),
  message: z.string(),
  detail: z.array(z.object({ constraint: z.string(), source: z.string(), nearest: z.string() })).default([]),
});

export const linuxFabricFactory: FabricFactory = {
  kind: "linux",
  open(config) {
    const parsed = linuxFabricConfigSchema.safeParse(config);
    if (!parsed.success) {
      throw new AppError("invalid_input", "the configuration of a linux fabric is { socket }", { cause: parsed.error });
    }
    return openLinuxFabric(parsed.data.socket);
  },
};

function openLinuxFabric(socket: string): Fabric {
  const open = new Set<Duplex>();
  const call = async <T>(ctx: CallContext, method: string, path: string, schema: z.ZodType<T>, body?: unknown): Promise<T> => {
    const answer = await unixRequest({ socket, method, path, body, timeoutMs: callLimitMs, signal: ctx.signal });
    if (answer.status >= 300) throw errorFrom(answer.body);
    const parsed = schema.safeParse(answer.body);
    if (!parsed.success) throw new AppError("endpoint_refused", "the agent gave an unexpected answer", { cause: parsed.error });
    return parsed.data;
  };
  return {
    kind: "linux",
    capabilities: linuxFabricCapabilities,
    segmentEnsure: (ctx, spec) => call<SegmentFacts>(ctx, "PUT", `/v1/segments/${spec.name}`, segmentSchema, spec),
    segmentRemove: (ctx, ref) => call(ctx, "DELETE", `/v1/segments/${ref.name}?${ownerQuery(ref.owner)}`, z.undefined()),
    segmentList: async (ctx) => (await call(ctx, "GET", "/v1/segments", z.object({ items: z.array(segmentSchema) }))).items,
    exposureEnsure: (ctx, spec) => call<ExposureFacts>(ctx, "PUT", `/v1/exposures/${spec.name}`, exposureSchema, spec),
    exposureRemove: (ctx, ref) => call(ctx, "DELETE", `/v1/exposures/${ref.name}?${ownerQuery(ref.owner)}`, z.undefined()),
    exposureList: async (ctx) => (await call(ctx, "GET", "/v1/exposures", z.object({ items: z.array(exposureSchema) }))).items,
    async reach(ctx, target) {
      const stream = await reachOpen(socket, ctx.signal, target);
      open.add(stream);
      stream.once("close", () => open.delete(stream));
      return stream;
    },
    async close() {
      for (const stream of open) stream.destroy();
    },
  };
}

function ownerQuery(owner: OwnerMark): string {
  return new URLSearchParams({ ...owner }).toString();
}

/** The agent's error as it was thrown there; an unknown code is a refusal. */
function errorFrom(body: unknown): AppError {
  const parsed = problemSchema.safeParse(body);
  if (!parsed.success) return new AppError("endpoint_refused", "the agent refused without a reason");
  const { code, message, detail } = parsed.data;
  return new AppError(code in errorCodes ? (code as ErrorCode) : "endpoint_refused", message, { detail });
}

/** An HTTP upgrade: on success the connection is the path into the segment. */
async function reachOpen(socketPath: string, signal: AbortSignal, target: ReachTarget): Promise<Duplex> {
  const query = new URLSearchParams({ segment: target.segment, address: target.address, port: String(target.port) });
  const timeout = AbortSignal.timeout(reachLimitMs);
  return await new Promise((resolve, reject) => {
    const outgoing = request({
      socketPath,
      path: `/v1/reach?${query}`,
      headers: { connection: "Upgrade", upgrade: "stratiform-reach" },
    });
    // Not request({ signal }): that would also cut the open path when the time limit of opening it has passed.
    const cancel = () => outgoing.destroy();
    for (const one of [signal, timeout]) one.addEventListener("abort", cancel, { once: true });
    const settle = () => {
      for (const one of [signal, timeout]) one.removeEventListener("abort", cancel);
    };
    outgoing.once("upgrade", (_response, stream, head) => {
      settle();
      if (head.length > 0) stream.unshift(head);
      resolve(stream);
    });
    outgoing.once("response", (response) => {
      void readProblem(response).then((error) => {
        settle();
        reject(error);
      });
    });
    outgoing.once("error", (cause) => {
      settle();
      if (signal.aborted) return reject(signal.reason);
      if (timeout.aborted)
        return reject(new AppError("timeout", `${target.address} port ${target.port} was not reached in time`, { cause }));
      reject(new AppError("endpoint_unreachable", `the agent at ${socketPath} does not answer`, { cause }));
    });
    if (signal.aborted) cancel();
    outgoing.end();
  });
}

async function readProblem(response: IncomingMessage): Promise<AppError> {
  try {
    return errorFrom(JSON.parse(Buffer.concat(await response.toArray()).toString()));
  } catch (cause) {
    return new AppError("endpoint_refused", "the agent refused to reach a machine", { cause });
  }
}
