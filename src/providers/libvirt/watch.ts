/** libvirt's events as ours. A connection of its own: when it is lost, exactly this watch ends, and the caller knows that it missed something. */
import type { CallContext } from "#domain/context.ts";
import type { MachineEvent } from "#provider/contract.ts";
import type { LibvirtEndpoint } from "#providers/libvirt/endpoint.ts";
import { eventId, procedure, readDomain, remoteProgram } from "#providers/libvirt/protocol.ts";
import type { RpcEvent } from "#providers/libvirt/rpc.ts";

export async function machineWatch(
  endpoint: LibvirtEndpoint,
  ctx: CallContext,
  onEvent: (event: MachineEvent) => void,
  onReady: () => void,
): Promise<void> {
  const client = await endpoint.ownClient(ctx);
  const aborted = Promise.withResolvers<null>();
  const onAbort = () => aborted.resolve(null);
  ctx.signal.addEventListener("abort", onAbort, { once: true });
  try {
    client.connection.onEvent((event) => {
      const machine = machineEventOf(event);
      if (machine !== null) onEvent(machine);
    });
    await client.domainEventsRegister(eventId.lifecycle);
    await client.domainEventsRegister(eventId.agentLifecycle);
    await client.domainEventsRegister(eventId.balloonChange);
    await client.domainEventsRegister(eventId.deviceRemoved);
    onReady();
    const lost = await Promise.race([client.connection.closed, aborted.promise]);
    if (lost !== null) throw lost;
  } catch (error) {
    if (!ctx.signal.aborted) throw error;
  } finally {
    ctx.signal.removeEventListener("abort", onAbort);
    client.connection.close();
  }
}

/** Null for events that say nothing of interest. */
export function machineEventOf({ program, procedure: number, body }: RpcEvent): MachineEvent | null {
  if (program !== remoteProgram) return null;
  const change = changes.get(number);
  if (change === undefined && number !== procedure.domainEventCallbackLifecycle && number !== procedure.domainEventCallbackAgentLifecycle)
    return null;
  body.int(); // Callback id: one connection registers each event once.
  const { name } = readDomain(body);
  if (change !== undefined) return { type: "machine", name, power: null, reason: change };
  const [kind, detail] = [body.int(), body.int()];
  const said = number === procedure.domainEventCallbackLifecycle ? lifecycle(kind, detail) : agentLifecycle(kind);
  return said === null ? null : { type: "machine", name, ...said };
}

/** Events after which somebody should look. */
const changes: ReadonlyMap<number, string> = new Map([
  [procedure.domainEventCallbackBalloonChange, "memory changed"],
  [procedure.domainEventCallbackDeviceRemoved, "device removed"],
]);

type Said = Pick<MachineEvent, "power" | "reason"> | null;

/** `virDomainEventStoppedDetailType`. */
const stoppedReasons = ["shut down", "destroyed", "crashed", "migrated", "saved", "failed", "snapshot"] as const;

/** `virDomainEventType` and its details. */
function lifecycle(kind: number, detail: number): Said {
  switch (kind) {
    case 0:
      return detail === 0 ? { power: "stopped", reason: "defined" } : { power: null, reason: "definition changed" };
    case 1:
      return { power: "removed", reason: "undefined" };
    case 2:
      return { power: "running", reason: "started" };
    case 3:
      return { power: "paused", reason: "suspended" };
    case 4:
      return { power: "running", reason: "resumed" };
    case 5: {
      // `failed` is what libvirt says when QEMU disappeared without a word.
      const reason = stoppedReasons[detail] ?? "stopped";
      return { power: reason === "crashed" || reason === "failed" ? "crashed" : "stopped", reason };
    }
    case 7:
      return { power: "paused", reason: "suspended by the guest" };
    case 8:
      return { power: "crashed", reason: "guest panicked" };
    default:
      return null; // 6 is "shutting down": it still runs.
  }
}

/** Connected means that `channelRun` works now; disconnected says nothing that a life-cycle event would not say. */
function agentLifecycle(state: number): Said {
  return state === 1 ? { power: "running", reason: "guest agent connected" } : null;
}
