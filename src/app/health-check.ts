/** One look at a machine from outside, through the fabric's reach: what steps wait for and samplers repeat. */
import http from "node:http";
import type { Duplex } from "node:stream";
import type { CallContext } from "#domain/context.ts";
import { AppError } from "#domain/error.ts";
import type { Health } from "#domain/plan.ts";
import type { Fabric, ReachTarget } from "#fabric/contract.ts";

/** For the answer, once the connection stands. */
const answerTimeoutMs = 3_000;

export function healthTarget(health: Health, segment: string, address: string): ReachTarget {
  return { segment, address, port: "tcp" in health ? health.tcp : health.http.port };
}

/** One check. Throws `endpoint_unreachable` or `endpoint_busy` while the machine is not well. */
export async function checkHealth(ctx: CallContext, fabric: Fabric, target: ReachTarget, health: Health): Promise<void> {
  const socket = await fabric.reach(ctx, target);
  try {
    if ("http" in health) await httpOk(ctx.signal, socket, target, health.http.path);
  } finally {
    socket.destroy();
  }
}

function httpOk(signal: AbortSignal, socket: Duplex, target: ReachTarget, path: string): Promise<void> {
  return new Promise((resolve, reject) => {
    const failed = (cause?: unknown) =>
      reject(new AppError("endpoint_busy", "the machine does not answer its health check yet", { cause }));
    const request = http.get(
      { createConnection: () => socket, host: target.address, path, signal, timeout: answerTimeoutMs, headers: { connection: "close" } },
      (response) => {
        response.resume();
        response.on("end", () => ((response.statusCode ?? 500) < 400 ? resolve() : failed()));
        response.on("error", failed);
      },
    );
    request.on("timeout", () => request.destroy(new Error("no answer in time")));
    request.on("error", (cause) => (signal.aborted ? reject(signal.reason) : failed(cause)));
  });
}
