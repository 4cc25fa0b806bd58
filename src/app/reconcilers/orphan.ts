/**
 * Removes what is still at an endpoint although its row is released: the answer to a late answer. Acts only on objects that carry this
 * installation's mark and whose row says released (I7); an object with our mark and no row at all is reported, never removed.
 */
import type { CallContext } from "#domain/context.ts";
import type { Platform } from "#app/context.ts";
import { endpointList, siteList } from "#store/site.ts";
import { exposureReleased, machineReleased, segmentReleased } from "#store/vapp.ts";

const callTimeoutMs = 30_000;

export async function removeOrphans(platform: Platform, ctx: CallContext): Promise<void> {
  const own = () => ({ ...ctx, signal: AbortSignal.any([ctx.signal, AbortSignal.timeout(callTimeoutMs)]) });
  const { database, installationId } = platform;
  for (const endpoint of await endpointList(database)) {
    if (endpoint.state !== "ready") continue;
    const provider = platform.endpoints.providerOf(endpoint);
    for (const { name, owner } of await provider.machineList(own())) {
      if (owner?.installation !== installationId) continue;
      if (await orphaned(ctx, "machine", name, await machineReleased(database, owner.object)))
        await provider.machineRemove(own(), { name, owner });
    }
  }
  for (const site of await siteList(database)) {
    const fabric = await platform.endpoints.fabric(site.id);
    for (const { name, owner } of await fabric.exposureList(own())) {
      if (owner?.installation !== installationId) continue;
      if (await orphaned(ctx, "exposure", name, await exposureReleased(database, owner.object)))
        await fabric.exposureRemove(own(), { name, owner });
    }
    for (const { name, owner } of await fabric.segmentList(own())) {
      if (owner?.installation !== installationId) continue;
      if (await orphaned(ctx, "segment", name, await segmentReleased(database, owner.object)))
        await fabric.segmentRemove(own(), { name, owner });
    }
  }
}

async function orphaned(ctx: CallContext, noun: string, name: string, released: boolean | null): Promise<boolean> {
  if (released === null) ctx.log.error({ noun, name }, "an object carries our mark but we know nothing of it; it is left alone");
  if (released === true) ctx.log.warn({ noun, name }, "an object outlived its owner and is removed");
  return released === true;
}
