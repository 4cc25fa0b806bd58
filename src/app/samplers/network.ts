/**
 * Sampler of networks: whether the segments and exposures we made are there, as the fabric of each site tells, and which members each
 * balancer sends requests to. Facts are written when they changed or grew old, so that the table stays small and ages stay true.
 *
 * It changes nothing but facts; what differs is shown by the layers view.
 */
import type { CallContext } from "#domain/context.ts";
import { isAppError } from "#domain/error.ts";
import { canonicalJson, type Json } from "#domain/json.ts";
import { missingValue } from "#domain/layer-network.ts";
import type { Platform } from "#app/context.ts";
import { membersNotice } from "#app/samplers/members.ts";
import { balancerMembers } from "#app/steps/balancer.ts";
import { theMachine, theVapp } from "#app/steps/realised.ts";
import type { Fabric } from "#fabric/contract.ts";
import { eachBounded } from "#lib/bounded.ts";
import { transact, type Tx } from "#store/database.ts";
import { balancingMachines, networkFactsForget, networkHeld, networkSubjects, type NetworkSubject } from "#store/health.ts";
import { siteList } from "#store/site.ts";
import { factPutMany, machinesHeld } from "#store/vapp.ts";

export const networkLimits = {
  subjects: 10_000,
  callMs: 5_000,
  /** A fact that has not changed is written again after this long. */
  refreshMs: 15_000,
  subjectsPerTransaction: 200,
  balancersAtOnce: 8,
} as const;

interface Known {
  readonly id: string;
  readonly known: string | null;
  readonly known_at: Date | null;
}

export async function sampleNetworks(platform: Platform, ctx: CallContext): Promise<void> {
  const sites = await siteList(platform.database);
  for (const table of ["segment", "exposure"] as const) {
    const subjects = await networkSubjects(platform.database, table, networkLimits.subjects);
    await Promise.all(
      sites.map(async ({ id, name }) => {
        const own = subjects.filter(({ site_id }) => site_id === id);
        await quietly(ctx, { site: name, table }, () => sampleSite(platform, ctx, { id, name }, table, own));
      }),
    );
  }
  await transact(platform.database, ctx, networkFactsForget);
}

async function sampleSite(
  platform: Platform,
  ctx: CallContext,
  site: { readonly id: string; readonly name: string },
  table: "segment" | "exposure",
  subjects: readonly NetworkSubject[],
): Promise<void> {
  if (subjects.length === 0) return;
  const at = ctx.clock.now();
  const fabric = await platform.endpoints.fabric(site.id);
  const seen = table === "segment" ? await segmentsSeen(platform, ctx, fabric) : await exposuresSeen(platform, ctx, fabric);
  // The agent carries out what a linux fabric is asked: it is who saw it.
  const source = `${fabric.kind === "linux" ? "agent" : fabric.kind}:${site.name}`;
  const facts = subjects.map((subject) => ({ subject, value: seen.get(subject.id) ?? missingValue }));
  await keep(platform, ctx, facts, at, (tx, ids) => networkHeld(tx, table, ids), { layer: "network", name: table, source });
}

/** By the id of our row, which is in the mark: what others made under one of our names is not ours. */
async function segmentsSeen(platform: Platform, ctx: CallContext, fabric: Fabric): Promise<Map<string, Json>> {
  const list = await fabric.segmentList(timed(ctx));
  return new Map(
    list.flatMap(({ owner, prefix, isolated, attachment }) =>
      owner?.installation === platform.installationId ? [[owner.object, { prefix, isolated, attachment }] as const] : [],
    ),
  );
}

async function exposuresSeen(platform: Platform, ctx: CallContext, fabric: Fabric): Promise<Map<string, Json>> {
  const list = await fabric.exposureList(timed(ctx));
  return new Map(
    list.flatMap(({ owner, address, port, target }) =>
      owner?.installation === platform.installationId
        ? [[owner.object, { listen: `${address}:${port}`, target: `${target.address}:${target.port}` }] as const]
        : [],
    ),
  );
}

/** Which members balancers have in rotation. One that does not answer writes nothing: its fact grows old, and that shows. */
export async function sampleBalancers(platform: Platform, ctx: CallContext): Promise<void> {
  const machines = await balancingMachines(platform.database, networkLimits.subjects);
  await eachBounded(machines, networkLimits.balancersAtOnce, (machine) =>
    quietly(ctx, { balancer: machine.name }, async () => {
      const at = ctx.clock.now();
      const vapp = await theVapp(platform, machine.vapp_id);
      const members = await balancerMembers(platform, timed(ctx), vapp, await theMachine(platform, machine.vapp_id, machine.name));
      const value = members
        .filter(({ state }) => state === "up")
        .map(({ name }) => name)
        .toSorted();
      const fact = { layer: "application", name: "members", source: `balancer:${machine.name}` } as const;
      await keep(platform, ctx, [{ subject: machine, value }], at, machinesHeld, fact);
      await membersNotice(platform, ctx, vapp, machine, members);
    }),
  );
}

/** Writes those facts that are new, changed or old, of things that are still there. */
async function keep(
  platform: Platform,
  ctx: CallContext,
  facts: readonly { readonly subject: Known; readonly value: Json }[],
  at: number,
  held: (tx: Tx, ids: readonly string[]) => Promise<Set<string>>,
  fact: { readonly layer: "network" | "application"; readonly name: string; readonly source: string },
): Promise<void> {
  const due = facts.filter(({ subject, value }) => isDue(subject, value, at)).toSorted((a, b) => (a.subject.id < b.subject.id ? -1 : 1));
  for (let from = 0; from < due.length; from += networkLimits.subjectsPerTransaction) {
    const some = due.slice(from, from + networkLimits.subjectsPerTransaction);
    await transact(platform.database, ctx, async (tx) => {
      const there = await held(
        tx,
        some.map(({ subject }) => subject.id),
      );
      const kept = some.filter(({ subject }) => there.has(subject.id));
      await factPutMany(
        tx,
        kept.map(({ subject, value }) => ({ subjectId: subject.id, fact: { ...fact, value } })),
        new Date(at),
      );
    });
  }
}

function isDue({ known, known_at }: Known, value: Json, at: number): boolean {
  if (known === null || known_at === null || at - known_at.getTime() >= networkLimits.refreshMs) return true;
  return canonicalJson(JSON.parse(known)) !== canonicalJson(value);
}

/** What does not answer is looked at again in the next round and holds up nothing else. */
async function quietly(ctx: CallContext, about: object, work: () => Promise<void>): Promise<void> {
  try {
    await work();
  } catch (error) {
    if (ctx.signal.aborted) throw error;
    ctx.log.debug(
      { ...about, error: isAppError(error) ? (error.internal ?? error.message) : String(error) },
      "a network could not be sampled",
    );
  }
}

function timed(ctx: CallContext): CallContext {
  return { ...ctx, signal: AbortSignal.any([ctx.signal, AbortSignal.timeout(networkLimits.callMs)]) };
}
