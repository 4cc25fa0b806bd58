/** Purges vApps whose undo window is over, by an order of the principal `reconciler` like anyone's. Takes no input. */
import type { CallContext } from "#domain/context.ts";
import { isAppError } from "#domain/error.ts";
import { formatId } from "#domain/id.ts";
import type { Platform } from "#app/context.ts";
import { newId } from "#app/new-id.ts";
import { placeOrder } from "#app/order.ts";
import { serviceActor } from "#app/session.ts";
import { vappsToPurge } from "#store/vapp.ts";

const vappsPerRound = 20;

export async function purgeExpired(platform: Platform, ctx: CallContext): Promise<void> {
  for (const vapp of await vappsToPurge(platform.database, new Date(ctx.clock.now()), vappsPerRound)) {
    const actor = await serviceActor(platform, vapp.organization_id, "reconciler");
    if (actor === null) continue;
    const own = { ...ctx, platform, actor, requestId: `purge-${newId("order", ctx.clock)}` };
    try {
      const order = await placeOrder(own, { action: "purge", vapp: formatId("vapp", vapp.id), input: {} });
      ctx.log.info({ vapp: vapp.name, order: order.id }, "the undo window of a deleted vApp is over");
    } catch (error) {
      // Somebody restored or purged it meanwhile, or policy keeps it: the next round looks again.
      if (!isAppError(error)) throw error;
      ctx.log.warn({ vapp: vapp.name, error: error.message }, "a deleted vApp cannot be purged");
    }
  }
}
