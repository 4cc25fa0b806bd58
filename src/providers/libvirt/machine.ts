/**
 * Machines: a domain, its disk (an overlay on an image) and its seed. Fences, in order: the domain's name is fixed and unique, its uuid
 * is the owner's object, its metadata names the owner, and its volumes carry name and object in their names.
 *
 * Order of making: disk, seed, domain; so a domain never refers to a volume that was never complete. `machineEnsure` and `machineRemove`
 * both work in passes and end only after a pass in which they found what they want: whoever comes last wins completely, and a race
 * between them ends with a whole machine or with nothing.
 */
import type { CallContext } from "#domain/context.ts";
import { AppError } from "#domain/error.ts";
import { sameOwner } from "#domain/owner.ts";
import type { MachineFacts, MachineRef, MachineSpec } from "#provider/contract.ts";
import type { LibvirtClient } from "#providers/libvirt/client.ts";
import { volumeFacts } from "#providers/libvirt/data-volume.ts";
import { machineFactsOf, parseDomainXml, powerOf, type DomainDescription, type DomainDisks } from "#providers/libvirt/domain-xml.ts";
import type { LibvirtEndpoint } from "#providers/libvirt/endpoint.ts";
import { isFailure, libvirtCode } from "#providers/libvirt/failure.ts";
import { domainState, type DomainHandle } from "#providers/libvirt/protocol.ts";
import { volumeDeleteUnlessBusy } from "#providers/libvirt/volume.ts";
import { machineVolumePrefix } from "#providers/libvirt/volume-xml.ts";

/** Each pass that does not settle means that somebody else works on the same machine. */
export const passesMax = 8;
export const passPauseMs = 50;

export interface FoundMachine {
  readonly domain: DomainHandle;
  readonly description: DomainDescription;
}

/** Null when missing; `not_ours` when the name belongs to somebody else. */
export async function machineFind(client: LibvirtClient, ref: MachineRef): Promise<FoundMachine | null> {
  const domain = await client.domainLookup(ref.name);
  const description = domain === null ? null : await describe(client, domain);
  if (domain === null || description === null) return null;
  if (!sameOwner(description.owner, ref.owner)) {
    throw new AppError("not_ours", `the name "${ref.name}" is taken at the endpoint by an object that is not ours`);
  }
  return { domain, description };
}

/** Like `machineFind`, for calls that make no sense without a machine. */
export async function machineGet(client: LibvirtClient, ref: MachineRef): Promise<FoundMachine> {
  const found = await machineFind(client, ref);
  if (found === null) throw new AppError("not_found", `there is no machine "${ref.name}" at the endpoint`);
  return found;
}

async function describe(client: LibvirtClient, domain: DomainHandle): Promise<DomainDescription | null> {
  try {
    return parseDomainXml(await client.domainXml(domain));
  } catch (error) {
    if (isFailure(error, libvirtCode.noDomain)) return null;
    throw error;
  }
}

export async function machineObserve(client: LibvirtClient, ref: MachineRef): Promise<MachineFacts | null> {
  const found = await machineFind(client, ref);
  return found === null ? null : factsOf(client, found);
}

/** Like `machineObserve`, for calls that make no sense without a machine. */
export async function machineFactsGet(client: LibvirtClient, ref: MachineRef): Promise<MachineFacts> {
  const facts = await machineObserve(client, ref);
  if (facts === null) throw new AppError("not_found", `there is no machine "${ref.name}" at the endpoint`);
  return facts;
}

/** Null when it went away meanwhile. */
export async function factsOf(client: LibvirtClient, { domain, description }: FoundMachine): Promise<MachineFacts | null> {
  try {
    const { state, reason } = await client.domainState(domain);
    return machineFactsOf(description, powerOf(state, reason), await volumeFacts(client, domain, description));
  } catch (error) {
    if (isFailure(error, libvirtCode.noDomain)) return null;
    throw error;
  }
}

/** One after the other: libvirt answers in 0.1 ms, and works on five calls of a client at most. */
export async function machineList(client: LibvirtClient): Promise<MachineFacts[]> {
  const machines: MachineFacts[] = [];
  for (const domain of await client.domainList()) {
    const description = await describe(client, domain);
    const facts = description === null ? null : await factsOf(client, { domain, description });
    if (facts !== null) machines.push(facts);
  }
  return machines;
}

/** Whether a definition is not the one of this specification with these files. */
export function definitionDiffers(
  description: DomainDescription,
  spec: MachineSpec,
  { diskPath, seedPath, volumes }: DomainDisks,
): boolean {
  const nics = (list: readonly { mac: string; attachment: string }[]) => list.map(({ mac, attachment }) => `${mac} ${attachment}`).join();
  const disks = [diskPath, seedPath, ...volumes.map(({ name, path }) => `${path} ${name}`)];
  const same =
    description.vcpus === spec.vcpus &&
    description.vcpusMax === spec.vcpus &&
    description.memoryMiB === spec.memoryMiB &&
    description.memoryMaxMiB === spec.memoryMiB &&
    nics(description.nics) === nics(spec.nics) &&
    description.disks.map(({ path, serial }) => (serial === null ? path : `${path} ${serial}`)).join() === disks.join();
  return !same;
}

export async function machineRemove(endpoint: LibvirtEndpoint, ctx: CallContext, ref: MachineRef): Promise<void> {
  const client = await endpoint.client(ctx);
  for (let pass = 0; pass < passesMax; pass++) {
    const found = await machineFind(client, ref);
    if (found !== null) await domainErase(client, found.domain);
    const pool = await endpoint.poolIfMade(ctx, client);
    const volumes = pool === null ? [] : (await client.volumeList(pool)).filter((one) => one.name.startsWith(machineVolumePrefix(ref)));
    if (found === null && volumes.length === 0) return;
    let busy = false;
    for (const volume of volumes) if (!(await volumeDeleteUnlessBusy(client, volume))) busy = true;
    if (busy) await ctx.clock.sleep(passPauseMs, ctx.signal);
  }
  throw new AppError("endpoint_busy", `the machine "${ref.name}" is being made by somebody else`);
}

async function domainErase(client: LibvirtClient, domain: DomainHandle): Promise<void> {
  await domainDestroy(client, domain);
  try {
    await client.domainUndefine(domain);
  } catch (error) {
    // Gone already, or gone with its last process because somebody else had undefined it.
    if (!isFailure(error, libvirtCode.noDomain, libvirtCode.operationInvalid)) throw error;
  }
}

/** Succeeds when it does not run. */
export async function domainDestroy(client: LibvirtClient, domain: DomainHandle): Promise<void> {
  try {
    const { state } = await client.domainState(domain);
    if (state !== domainState.shutoff) await client.domainDestroy(domain);
  } catch (error) {
    if (!isFailure(error, libvirtCode.noDomain, libvirtCode.operationInvalid)) throw error;
  }
}
