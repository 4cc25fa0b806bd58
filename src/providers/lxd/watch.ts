/** LXD's life-cycle events as they come in. */
import { z } from "zod";
import type { CallContext } from "#domain/context.ts";
import { AppError } from "#domain/error.ts";
import type { MachineEvent } from "#provider/contract.ts";
import type { LxdConnection } from "./connection.ts";

const eventSchema = z.object({ type: z.literal("lifecycle"), metadata: z.object({ action: z.string(), source: z.string() }) });

/** Actions that say something about power. `shutdown` is the guest ending by itself, `stopped` our or an operator's doing. */
const powers: Readonly<Record<string, MachineEvent["power"]>> = {
  "instance-created": "stopped",
  "instance-started": "running",
  "instance-restarted": "running",
  "instance-resumed": "running",
  "instance-ready": "running",
  "instance-paused": "paused",
  "instance-stopped": "stopped",
  "instance-shutdown": "stopped",
  "instance-deleted": "removed",
  "instance-updated": null,
};

/** Null for events that say nothing about a machine. */
export function eventParse(text: string): MachineEvent | null {
  const parsed = eventSchema.safeParse(JSON.parse(text));
  if (!parsed.success) return null;
  const { action, source } = parsed.data.metadata;
  const power = powers[action];
  const name = /^\/1\.0\/(?:instances|containers|virtual-machines)\/([^/?]+)(?:\?.*)?$/.exec(source)?.[1];
  return power === undefined || name === undefined ? null : { type: "machine", name: decodeURIComponent(name), power, reason: action };
}

export async function watch(
  ctx: CallContext,
  lxd: LxdConnection,
  onEvent: (event: MachineEvent) => void,
  onReady: () => void,
): Promise<void> {
  const stream = await lxd.websocket(ctx, "/1.0/events?type=lifecycle");
  const stopped = AbortSignal.any([ctx.signal, lxd.closed]);
  const onAbort = () => stream.close();
  stopped.addEventListener("abort", onAbort, { once: true });
  try {
    if (stopped.aborted) return;
    onReady();
    for await (const message of stream.messages()) {
      const event = eventParse(message.data.toString());
      if (event !== null) onEvent(event);
    }
  } catch (error) {
    if (!stopped.aborted) throw error;
  } finally {
    stopped.removeEventListener("abort", onAbort);
    stream.close();
  }
  // A daemon that shuts down says goodbye properly; for the caller the events are lost all the same.
  if (!stopped.aborted) throw new AppError("endpoint_unreachable", "The endpoint ended the stream of events");
}
