/**
 * Looks at what else is at every endpoint, managed or observed, and keeps what was seen: when first, when last, when it was found gone; and
 * which copies of images lie there. Only reads. Whatever carries this installation's mark is ours and belongs to no inventory.
 */
import type { CallContext } from "#domain/context.ts";
import { isAppError } from "#domain/error.ts";
import { inventoryLimits } from "#domain/inventory.ts";
import type { Platform } from "#app/context.ts";
import { transact } from "#store/database.ts";
import { imageCopiesPut, inventoryForget, inventoryPut } from "#store/inventory.ts";
import { endpointList, type EndpointRow } from "#store/site.ts";

/** A thousand machines are asked for one by one where the endpoint knows no other way. */
const callTimeoutMs = 60_000;

/** Side by side; one that does not answer keeps what was last seen there and does not hold up the others. */
export async function sampleInventories(platform: Platform, ctx: CallContext): Promise<void> {
  const endpoints = await endpointList(platform.database);
  await Promise.all(
    endpoints.map(async (endpoint) => {
      try {
        await sampleInventory(platform, ctx, endpoint);
      } catch (error) {
        // Not every kind of endpoint can tell.
        const level = isAppError(error, "capability_missing") ? "debug" : "warn";
        const reason = isAppError(error) ? (error.internal ?? error.message) : String(error);
        ctx.log[level]({ endpoint: endpoint.name, error: reason }, "the inventory of an endpoint could not be taken");
      }
    }),
  );
}

async function sampleInventory(platform: Platform, ctx: CallContext, endpoint: EndpointRow): Promise<void> {
  const at = ctx.clock.now();
  const signal = AbortSignal.any([ctx.signal, AbortSignal.timeout(callTimeoutMs)]);
  const provider = platform.endpoints.providerOf(endpoint);
  const call = { ...ctx, signal };
  // Only where we put any: what a stranger's images are called is none of our business.
  const copies = endpoint.mode === "manage" ? await provider.imageList(call) : [];
  await transact(platform.database, ctx, (tx) => imageCopiesPut(tx, endpoint.id, copies, new Date(at)));
  const items = await provider.inventory(call);
  const ours = items.filter(({ owner }) => owner?.installation === platform.installationId);
  const others = items.filter((item) => !ours.includes(item));
  if (others.length > inventoryLimits.machinesPerEndpoint)
    ctx.log.warn({ endpoint: endpoint.name, machines: others.length }, "the inventory of an endpoint is cut at its limit");
  // In order of their ids, as every writer of these rows takes them.
  const seen = others
    .toSorted((a, b) => (a.externalId < b.externalId ? -1 : 1))
    .slice(0, inventoryLimits.machinesPerEndpoint)
    .map((item) => ({ externalId: item.externalId, name: item.name, item }));
  await transact(platform.database, ctx, async (tx) => {
    await inventoryPut(tx, endpoint.id, seen, new Date(at));
    await inventoryForget(
      tx,
      endpoint.id,
      ours.map(({ externalId }) => externalId),
      new Date(at - inventoryLimits.keepGoneMs),
    );
  });
}
