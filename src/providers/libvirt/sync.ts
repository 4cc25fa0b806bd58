/**
 * A machine that runs or is paused, brought to its specification as far as that is possible meanwhile: lost NICs come back, NICs go back to
 * their bridges, volumes appear and grow, memory and vCPUs that somebody took from it return. What it was started with is its upper limit: a
 * new size is written to its definition and counts from the next start. Every step is tried for itself; what did not work shows in the facts.
 */
import type { CallContext } from "#domain/context.ts";
import type { MachineSpec } from "#provider/contract.ts";
import type { LibvirtClient } from "#providers/libvirt/client.ts";
import { attachedVolumes, bytesOf, volumeEnsure } from "#providers/libvirt/data-volume.ts";
import {
  buildDomainXml,
  dataDiskXml,
  freeTarget,
  nicXml,
  parseDomainXml,
  type DomainDescription,
  type NamedFile,
} from "#providers/libvirt/domain-xml.ts";
import type { LibvirtEndpoint } from "#providers/libvirt/endpoint.ts";
import { isFailure, libvirtCode, LibvirtFailure } from "#providers/libvirt/failure.ts";
import { definitionDiffers, type FoundMachine } from "#providers/libvirt/machine.ts";
import type { DomainHandle } from "#providers/libvirt/protocol.ts";

/** A guest that does not answer the balloon, or that is paused, shows in the facts. */
const balloonPatienceMs = 5_000;
const balloonPollMs = 100;

/** False when it stopped or vanished meanwhile: look again. */
export async function machineSync(
  endpoint: LibvirtEndpoint,
  ctx: CallContext,
  spec: MachineSpec,
  { domain, description }: FoundMachine,
): Promise<boolean> {
  const client = await endpoint.client(ctx);
  try {
    const step = (what: string, work: () => Promise<unknown>) => tried(ctx, spec.name, what, work);
    await nicsSync(client, step, spec, domain, description);
    const volumes = await volumesSync(endpoint, ctx, step, spec, domain, description);
    await sizeSync(ctx, client, step, spec, domain, description);
    await step("its definition", () => definitionSync(endpoint, ctx, spec, domain, description, volumes));
    return true;
  } catch (error) {
    if (isFailure(error, libvirtCode.noDomain)) return false;
    throw error;
  }
}

type Step = (what: string, work: () => Promise<unknown>) => Promise<boolean>;

/** False when libvirt or QEMU refused it. */
async function tried(ctx: CallContext, machine: string, what: string, work: () => Promise<unknown>): Promise<boolean> {
  try {
    await work();
    return true;
  } catch (error) {
    if (!(error instanceof LibvirtFailure) || error.code === libvirtCode.noDomain) throw error;
    ctx.log.warn({ machine, what, reason: error.message }, "a running machine could not be synced");
    return false;
  }
}

async function nicsSync(
  client: LibvirtClient,
  step: Step,
  spec: MachineSpec,
  domain: DomainHandle,
  { nics }: DomainDescription,
): Promise<void> {
  for (const nic of spec.nics) {
    const present = nics.find(({ mac }) => mac === nic.mac);
    if (present === undefined) await step(`NIC ${nic.name}`, () => client.deviceAttachLive(domain, nicXml(nic)));
    else if (present.attachment !== nic.attachment)
      await step(`bridge of NIC ${nic.name}`, () => client.deviceUpdateLive(domain, nicXml(nic)));
  }
}

/** Returns all volumes it has in the end. */
async function volumesSync(
  endpoint: LibvirtEndpoint,
  ctx: CallContext,
  step: Step,
  spec: MachineSpec,
  domain: DomainHandle,
  description: DomainDescription,
): Promise<NamedFile[]> {
  const client = await endpoint.client(ctx);
  const attached = attachedVolumes(description, spec);
  const targets = description.disks.map(({ target }) => target);
  for (const wanted of spec.volumes) {
    const present = attached.find(({ name }) => name === wanted.name);
    await step(`volume ${wanted.name}`, async () => {
      const target = present?.target ?? freeTarget(targets);
      if (target === null) return;
      if (present === undefined) {
        const pool = await endpoint.pool(ctx, client);
        const file = await volumeEnsure(client, pool, spec, wanted);
        if (file === null) return;
        const path = await client.volumePath(file);
        await client.deviceAttachLive(domain, dataDiskXml({ name: wanted.name, path }, target));
        targets.push(target);
        attached.push({ name: wanted.name, path, target });
      }
      if ((await client.blockBytes(domain, target)) < bytesOf(wanted.sizeMiB))
        await client.blockResize(domain, target, bytesOf(wanted.sizeMiB));
    });
  }
  return attached;
}

/** Only what was taken from it comes back: asked to be larger or smaller, it has to stop first (`liveResize` is not declared). */
async function sizeSync(
  ctx: CallContext,
  client: LibvirtClient,
  step: Step,
  spec: MachineSpec,
  domain: DomainHandle,
  { memoryMiB, memoryMaxMiB, vcpus, vcpusMax }: DomainDescription,
): Promise<void> {
  if (memoryMiB !== spec.memoryMiB && memoryMaxMiB === spec.memoryMiB)
    await step("memory", () => memoryReturn(ctx, client, domain, spec.memoryMiB));
  if (vcpus !== spec.vcpus && vcpusMax === spec.vcpus) await step("vCPUs", () => client.vcpusSetLive(domain, spec.vcpus));
}

/** The guest takes its memory back page by page. Whoever looked meanwhile would find it changed by hand once more. */
async function memoryReturn(ctx: CallContext, client: LibvirtClient, domain: DomainHandle, memoryMiB: number): Promise<void> {
  await client.memorySetLive(domain, memoryMiB);
  const until = ctx.clock.now() + balloonPatienceMs;
  while (ctx.clock.now() < until && parseDomainXml(await client.domainXml(domain)).memoryMiB !== memoryMiB) {
    await ctx.clock.sleep(balloonPollMs, ctx.signal);
  }
}

/** What counts from the next start. It keeps the seed it has; another one comes when it is stopped. */
async function definitionSync(
  endpoint: LibvirtEndpoint,
  ctx: CallContext,
  spec: MachineSpec,
  domain: DomainHandle,
  live: DomainDescription,
  volumes: readonly NamedFile[],
): Promise<void> {
  const client = await endpoint.client(ctx);
  const [disk, seed] = [live.disks[0], live.disks.find(({ readOnly }) => readOnly)];
  if (disk === undefined || seed === undefined) return;
  const disks = { diskPath: disk.path, seedPath: seed.path, volumes };
  if (!definitionDiffers(parseDomainXml(await client.domainXmlInactive(domain)), spec, disks)) return;
  await client.domainDefine(buildDomainXml(spec, disks, await endpoint.platform(ctx)));
}
