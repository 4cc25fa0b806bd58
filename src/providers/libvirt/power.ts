/** Starting and stopping. Both look first and look again afterwards: the state may be changed by the guest at any moment. */
import type { CallContext } from "#domain/context.ts";
import { AppError } from "#domain/error.ts";
import type { MachineFacts, MachineRef } from "#provider/contract.ts";
import { agentErrorForget } from "#providers/libvirt/agent-error.ts";
import type { LibvirtClient } from "#providers/libvirt/client.ts";
import { isFailure, libvirtCode } from "#providers/libvirt/failure.ts";
import { domainDestroy, machineFactsGet, machineFind, machineGet } from "#providers/libvirt/machine.ts";
import { machineWhole } from "#providers/libvirt/aside.ts";
import { domainState, type DomainHandle } from "#providers/libvirt/protocol.ts";

const stopPollMs = 100;

export async function machineStart(client: LibvirtClient, ref: MachineRef): Promise<MachineFacts> {
  const { domain } = await machineWhole(client, await machineGet(client, ref));
  await bringUp(client, domain);
  // A running machine may differ from its definition, so it is read again.
  return { ...(await machineFactsGet(client, ref)), power: "running" };
}

export async function machinePause(client: LibvirtClient, ref: MachineRef): Promise<MachineFacts> {
  const { domain } = await machineGet(client, ref);
  try {
    const { state } = await client.domainState(domain);
    if (state === domainState.running || state === domainState.blocked) await client.domainSuspend(domain);
  } catch (error) {
    // Off since we looked, or paused by somebody else; the facts tell.
    if (!isFailure(error, libvirtCode.operationInvalid)) throw error;
  }
  const facts = await machineFactsGet(client, ref);
  if (facts.power === "paused") return facts;
  throw new AppError("conflict", `the machine "${ref.name}" cannot be paused, because it does not run`);
}

async function bringUp(client: LibvirtClient, domain: DomainHandle): Promise<void> {
  const { state } = await client.domainState(domain);
  switch (state) {
    case domainState.running:
    case domainState.blocked:
      return;
    case domainState.paused:
      return client.domainResume(domain);
    case domainState.pmsuspended:
      return client.domainWakeup(domain);
    case domainState.shutdown:
      throw new AppError("endpoint_busy", "the machine is just shutting down");
    case domainState.crashed:
      // A crashed guest whose process was kept: nothing in it can be resumed.
      await domainDestroy(client, domain);
      break;
  }
  try {
    await client.domainStart(domain);
    await agentErrorForget(client, domain);
  } catch (error) {
    // Another caller started it in between.
    if (!isFailure(error, libvirtCode.operationInvalid)) throw error;
    if ((await client.domainState(domain)).state !== domainState.running) throw error;
  }
}

export async function machineStop(client: LibvirtClient, ctx: CallContext, ref: MachineRef, graceMs: number): Promise<void> {
  const found = await machineFind(client, ref);
  if (found === null) return;
  if (graceMs > 0 && (await isRunning(client, found.domain))) await guestShutdown(client, ctx, found.domain, graceMs);
  await domainDestroy(client, found.domain);
}

/** Returns when the guest is off or the time is up. */
async function guestShutdown(client: LibvirtClient, ctx: CallContext, domain: DomainHandle, graceMs: number): Promise<void> {
  // Not awaited: through the agent the answer comes only when the guest is off, and a guest that ignores it is forced below.
  client.domainShutdown(domain).catch((error: unknown) => ctx.log.debug({ error }, "the guest was not asked to shut down"));
  const deadline = ctx.clock.now() + graceMs;
  while (ctx.clock.now() < deadline && (await isRunning(client, domain))) {
    await ctx.clock.sleep(Math.min(stopPollMs, graceMs), ctx.signal);
  }
}

/** A paused or crashed guest cannot shut itself down. */
async function isRunning(client: LibvirtClient, domain: DomainHandle): Promise<boolean> {
  try {
    const { state } = await client.domainState(domain);
    return state === domainState.running || state === domainState.blocked || state === domainState.shutdown;
  } catch (error) {
    if (isFailure(error, libvirtCode.noDomain)) return false;
    throw error;
  }
}
