/**
 * What a balancer says of its members, held against what it should say: one that lost members, or whose members were put aside by hand,
 * has drifted, which the repair reconciler puts right. Whether a member answers is the member's own matter (sampler of health).
 */
import type { MemberFacts } from "#adapter/balancer.ts";
import type { RenderedVapp } from "#domain/blueprint-render.ts";
import type { CallContext } from "#domain/context.ts";
import { driftMerged, membersDrift, type Drift } from "#domain/drift.ts";
import { canonicalJson } from "#domain/json.ts";
import { machineDrifted } from "#app/changes.ts";
import type { Platform } from "#app/context.ts";
import { isWell } from "#app/run-finish.ts";
import { balanceOf } from "#app/steps/balancer.ts";
import { transact } from "#store/database.ts";
import { machineList, vappLock, vappUpdate, type MachineRow, type VappRow } from "#store/vapp.ts";

/** Put aside by somebody: they get no requests however well they are. */
const aside: ReadonlySet<MemberFacts["state"]> = new Set(["draining", "maintenance"]);

/** `vapp`: as it was before the balancer was asked. */
export async function membersNotice(
  platform: Platform,
  ctx: CallContext,
  vapp: VappRow,
  { id, name }: { readonly id: string; readonly name: string },
  members: readonly MemberFacts[],
): Promise<void> {
  if (vapp.run_id !== null) return;
  const rows = await machineList(platform.database, [vapp.id]);
  const known = rows.find((row) => row.id === id);
  const drift = known === undefined ? null : driftSeen(vapp, rows, known, members);
  if (drift === null || canonicalJson(drift) === canonicalJson(known?.drift ?? [])) return;
  await transact(platform.database, ctx, async (tx) => {
    const now = await vappLock(tx, vapp.id);
    // An order accepted since then may have changed what is expected, and what there is.
    if (now === undefined || now.run_id !== null || now.deleted_at !== null || now.generation !== vapp.generation) return;
    const machines = await machineList(tx, [vapp.id]);
    const machine = machines.find((row) => row.id === id);
    const seen = machine === undefined ? null : driftSeen(now, machines, machine, members);
    if (machine === undefined || seen === null) return;
    await machineDrifted({ clock: ctx.clock, source: `balancer:${name}` }, tx, now, machine, seen);
    if (now.state !== "active" && now.state !== "degraded") return;
    await vappUpdate(tx, now.id, { state: (await machineList(tx, [now.id])).every(isWell) ? "active" : "degraded" });
  });
}

/** All drift of the balancing machine; null when nothing can be said. Members that are down themselves are not missed. */
function driftSeen(vapp: VappRow, machines: readonly MachineRow[], machine: MachineRow, members: readonly MemberFacts[]): Drift[] | null {
  const balance = balanceOf(vapp.blueprint as unknown as RenderedVapp, machine.tier);
  if (balance === null || machine.state !== "running" || machine.desired !== "running") return null;
  const wanted = machines.filter(
    ({ tier, state, desired, unhealthy_since }) =>
      tier === balance.tier && state === "running" && desired === "running" && unhealthy_since === null,
  );
  const desired = wanted.map(({ name }) => name);
  const taking = members.filter(({ state }) => !aside.has(state)).map(({ name }) => name);
  return driftMerged((machine.drift ?? []) as unknown as Drift[], membersDrift(desired, taking), "members");
}
