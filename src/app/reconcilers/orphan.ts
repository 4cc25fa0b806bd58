/**
 * Removes what is still at an endpoint although its row is released: the answer to a late answer. Acts only on objects that carry this
 * installation's mark and whose row says released (I7); an object with our mark and no row at all is reported, never removed.
 */
import type { CallContext } from "#domain/context.ts";
import { isAppError } from "#domain/error.ts";
import type { Fabric } from "#fabric/contract.ts";
import type { Provider } from "#provider/contract.ts";
import type { Platform } from "#app/context.ts";
import { endpointList, siteList } from "#store/site.ts";
import { exposureReleased, machineReleased, segmentReleased } from "#store/vapp.ts";

const callTimeoutMs = 30_000;

export async function removeOrphans(platform: Platform, ctx: CallContext): Promise<void> {
  for (const endpoint of await endpointList(platform.database)) {
    // Where we only observe we never made anything.
    if (endpoint.state === "ready" && endpoint.mode === "manage")
      await aside(ctx, endpoint.name, () => removeMachines(platform, ctx, platform.endpoints.providerOf(endpoint)));
  }
  for (const site of await siteList(platform.database)) {
    await aside(ctx, site.name, async () => removeNetworks(platform, ctx, await platform.endpoints.fabric(site.id)));
  }
}

/** A place that does not answer is none of the others' business; it is looked at again next time. */
async function aside(ctx: CallContext, name: string, work: () => Promise<void>): Promise<void> {
  try {
    await work();
  } catch (error) {
    ctx.log.warn({ name, error: isAppError(error) ? (error.internal ?? error.code) : String(error) }, "orphans could not be looked for");
  }
}

async function removeMachines({ database, installationId }: Platform, ctx: CallContext, provider: Provider): Promise<void> {
  for (const { name, owner } of await provider.machineList(timed(ctx))) {
    if (owner?.installation !== installationId) continue;
    if (await orphaned(ctx, "machine", name, await machineReleased(database, owner.object)))
      await provider.machineRemove(timed(ctx), { name, owner });
  }
}

async function removeNetworks({ database, installationId }: Platform, ctx: CallContext, fabric: Fabric): Promise<void> {
  for (const { name, owner } of await fabric.exposureList(timed(ctx))) {
    if (owner?.installation !== installationId) continue;
    if (await orphaned(ctx, "exposure", name, await exposureReleased(database, owner.object)))
      await fabric.exposureRemove(timed(ctx), { name, owner });
  }
  for (const { name, owner } of await fabric.segmentList(timed(ctx))) {
    if (owner?.installation !== installationId) continue;
    if (await orphaned(ctx, "segment", name, await segmentReleased(database, owner.object)))
      await fabric.segmentRemove(timed(ctx), { name, owner });
  }
}

function timed(ctx: CallContext): CallContext {
  return { ...ctx, signal: AbortSignal.any([ctx.signal, AbortSignal.timeout(callTimeoutMs)]) };
}

async function orphaned(ctx: CallContext, noun: string, name: string, released: boolean | null): Promise<boolean> {
  if (released === null) ctx.log.error({ noun, name }, "an object carries our mark but we know nothing of it; it is left alone");
  if (released === true) ctx.log.warn({ noun, name }, "an object outlived its owner and is removed");
  return released === true;
}
