/**
 * Repairs vApps that are not as desired: observes, plans and places an order as the principal `reconciler`, through the same gate as
 * anyone, within a declared bound (I4). Takes no input and may run as often as one likes.
 */
import { allow, type Bound, type BoundAction } from "#domain/bound.ts";
import type { CallContext } from "#domain/context.ts";
import { isAppError, type AppError, type Refusal } from "#domain/error.ts";
import { formatId } from "#domain/id.ts";
import { canonicalJson, type Json } from "#domain/json.ts";
import type { Actor, Platform } from "#app/context.ts";
import { newId } from "#app/new-id.ts";
import { placeOrder } from "#app/order.ts";
import { isWell } from "#app/run-finish.ts";
import { serviceActor } from "#app/session.ts";
import { isTransientDatabaseError, transact } from "#store/database.ts";
import { eventInsert, eventLatest } from "#store/event.ts";
import { orderHistory } from "#store/order.ts";
import { machineList, vappLock, vappsToRepair, type VappRow } from "#store/vapp.ts";

/** At most five repairs of a vApp in ten minutes; three failures in a row and it is left alone for ten. */
export const repairBound: Bound = { maxCount: 100_000, rate: { actions: 5, windowMs: 600_000 }, breaker: { failures: 3, openMs: 600_000 } };

/**
 * What has just happened may not be over: who deletes a container by force stops it first, a guest that reboots is off for a moment. A
 * repair that comes between makes two causes of one.
 */
export const settleMs = 1_000;

const historyMs = 3_600_000;
const vappsPerRound = 50;
const beforeAll = "00000000-0000-0000-0000-000000000000";

export class RepairReconciler {
  readonly #platform: Platform;
  /** Until when a refused vApp is left alone, so that one refusal is one event. */
  readonly #quiet = new Map<string, number>();

  /** Where the next round goes on, so that vApps nobody can repair do not keep the others from their turn. */
  #after = beforeAll;

  constructor(platform: Platform) {
    this.#platform = platform;
  }

  async round(ctx: CallContext): Promise<void> {
    for (const [id, until] of this.#quiet) if (until <= ctx.clock.now()) this.#quiet.delete(id);
    const vapps = await vappsToRepair(this.#platform.database, this.#after, vappsPerRound);
    this.#after = vapps.length < vappsPerRound ? beforeAll : vapps.at(-1)!.id;
    for (const vapp of vapps) {
      const actor = await serviceActor(this.#platform, vapp.organization_id, "reconciler");
      if (actor !== null) await this.#repair(ctx, actor, vapp);
    }
  }

  async #repair(ctx: CallContext, actor: Actor, vapp: VappRow): Promise<void> {
    const now = ctx.clock.now();
    if ((this.#quiet.get(vapp.id) ?? 0) > now) return;
    const machines = await machineList(this.#platform.database, [vapp.id]);
    if (machines.some((machine) => !isWell(machine) && machine.state_at.getTime() > now - settleMs)) return;
    const decision = await this.#bounded(vapp, machines.length, actor, now);
    if (!decision.allowed) {
      this.#quiet.set(vapp.id, decision.notBefore ?? now + repairBound.breaker.openMs);
      await this.#refused(ctx, vapp, decision.refusals);
      return;
    }
    try {
      const own = { ...ctx, platform: this.#platform, actor, requestId: `repair-${newId("order", ctx.clock)}` };
      const order = await placeOrder(own, {
        action: "repair",
        vapp: formatId("vapp", vapp.id),
        input: {},
        // What runs is not stopped by automation: a repair that would is reported, with what a person may order.
        bounds: { maxDowntimeSeconds: 0 },
      });
      ctx.log.warn({ vapp: vapp.name, order: order.id, summary: order.summary }, "a vApp is repaired");
    } catch (error) {
      // Somebody else's order was faster, or policy forbids it: both are reported and neither is forced.
      if (isTransientDatabaseError(error)) throw error;
      this.#quiet.set(vapp.id, now + repairBound.breaker.openMs / 20);
      if (!isAppError(error)) return ctx.log.error({ vapp: vapp.name, error: String(error) }, "a repair cannot be planned");
      if (error.code !== "conflict") await this.#refused(ctx, vapp, refusalsOf(error, vapp.name));
    }
  }

  async #bounded(vapp: VappRow, count: number, actor: Actor, now: number) {
    const { database } = this.#platform;
    const history = await orderHistory(database, {
      vappId: vapp.id,
      principalId: actor.principalId,
      action: "repair",
      since: new Date(now - historyMs),
    });
    const actions = history.map((order): BoundAction => ({
      at: order.created_at.getTime(),
      endedAt: order.finished_at?.getTime() ?? null,
      outcome: order.state === "running" ? "pending" : order.state === "succeeded" ? "succeeded" : "failed",
    }));
    return allow(repairBound, { count, actions }, now, { adds: 0, source: "bound of the repair reconciler" });
  }

  /** Said once: again only after somebody ordered something, or for other reasons. Another leader says it no second time either. */
  async #refused(ctx: CallContext, vapp: VappRow, refusals: readonly Refusal[]): Promise<void> {
    await transact(this.#platform.database, ctx, async (tx) => {
      if ((await vappLock(tx, vapp.id)) === undefined) return;
      const last = await eventLatest(tx, vapp.id, ["repair.refused", "order.accepted"]);
      const said = last?.type === "repair.refused" ? (last.data as { refusals?: Json }).refusals : undefined;
      if (said !== undefined && canonicalJson(said) === canonicalJson(refusals)) return;
      ctx.log.error({ vapp: vapp.name, refusals }, "a vApp needs repair and automation may not");
      await eventInsert(tx, {
        id: newId("run", ctx.clock),
        organizationId: vapp.organization_id,
        vappId: vapp.id,
        type: "repair.refused",
        subject: formatId("vapp", vapp.id),
        data: { refusals },
      });
    });
  }
}

/** What a person may do that automation may not. */
function refusalsOf(error: AppError, vapp: string): Refusal[] {
  const nearest = `repair it by hand: strat vapp repair ${vapp}`;
  if (error.detail.length === 0) return [{ constraint: error.message, source: error.code, nearest }];
  const isOwnBound = error.code === "bound_broken";
  return error.detail.map((one) => (isOwnBound ? { ...one, source: "bound of the repair reconciler", nearest } : one));
}
