/**
 * Standard kinds of balancers: a machine starts and stops taking requests. `balancer.join` and `balancer.leave` undo each other. Neither
 * loses a request: one waits for the balancer's own health check, the other for the last answer.
 */
import { z } from "zod";
import type { Balancer, BalancerMember, BalancerPool, MemberFacts } from "#adapter/balancer.ts";
import { reachableAddress, type RenderedVapp } from "#domain/blueprint-render.ts";
import type { CallContext } from "#domain/context.ts";
import { AppError, isAppError } from "#domain/error.ts";
import type { Json } from "#domain/json.ts";
import type { DesiredMachine } from "#domain/plan.ts";
import type { StepContext, StepKind, StepResult } from "#process/contract.ts";
import { openBalancer } from "#app/balancer-registry.ts";
import type { Platform } from "#app/context.ts";
import { findMachine, machineRef, theMachine, theVapp } from "#app/steps/realised.ts";
import { addressList, type MachineRow, type VappRow } from "#store/vapp.ts";

const memberInput = z.object({
  balancer: z.string().meta({ description: "Machine that spreads the requests" }),
  member: z.string().meta({ description: "Machine that answers them" }),
});
type MemberInput = z.infer<typeof memberInput>;

const attemptTimeoutMs = 30_000;
/** Ends well before the attempt is cut off, so that the last answer of the balancer is what people read, not that time was up. */
const attemptPatienceMs = 20_000;
/** The member is healthy already when it joins: what is left is one check of the balancer's own. */
const joinPatienceMs = 120_000;
/** The longest request a member is waited for. */
const drainPatienceMs = 180_000;
const pollMs = 100;

const nothing: StepResult & { readonly output: Json } = { output: null, changes: [] };

export function balancerJoin(platform: Platform): StepKind<MemberInput, Json> {
  return {
    kind: "balancer.join",
    input: memberInput,
    effect: ({ balancer, member }) => ({ creates: [], changes: [`${balancer} sends requests to ${member}`], removes: [] }),
    attemptTimeoutMs,
    deadlineMs: joinPatienceMs,
    do: (ctx, input) => join(platform, ctx, input),
    undo: (ctx, input) => leave(platform, ctx, input),
  };
}

export function balancerLeave(platform: Platform): StepKind<MemberInput, Json> {
  return {
    kind: "balancer.leave",
    input: memberInput,
    effect: ({ balancer, member }) => ({ creates: [], changes: [`${balancer} sends no requests to ${member}`], removes: [] }),
    attemptTimeoutMs,
    deadlineMs: drainPatienceMs,
    do: (ctx, input) => leave(platform, ctx, input),
    async undo(ctx, input) {
      const isThere = (await findMachine(platform, ctx.vappId, input.member)) !== null;
      return isThere && (await findMachine(platform, ctx.vappId, input.balancer)) !== null ? join(platform, ctx, input) : nothing;
    },
  };
}

async function join(platform: Platform, ctx: StepContext, input: MemberInput): Promise<StepResult & { readonly output: Json }> {
  const vapp = await theVapp(platform, ctx.vappId);
  const machine = await theMachine(platform, ctx.vappId, input.balancer);
  const row = await theMachine(platform, ctx.vappId, input.member);
  const { pool, balancer } = await open(platform, vapp, machine, row.tier);
  const member = await memberOf(platform, machine, row);
  const facts = await patiently(ctx, () => balancer.memberEnsure(ctx, pool, member));
  return { output: { state: facts.state, address: facts.address, port: facts.port }, changes: [] };
}

/** A balancer that is gone or does not run sends nothing to anybody; its next context is without the member. */
async function leave(platform: Platform, ctx: StepContext, input: MemberInput): Promise<StepResult & { readonly output: Json }> {
  const vapp = await theVapp(platform, ctx.vappId);
  const machine = await findMachine(platform, ctx.vappId, input.balancer);
  const row = await findMachine(platform, ctx.vappId, input.member);
  if (machine === null || row === null) return nothing;
  if (await isDown(platform, ctx, machine)) return nothing;
  const { pool, balancer } = await open(platform, vapp, machine, row.tier);
  await patiently(ctx, async () => {
    const { inFlight } = await balancer.memberDrain(ctx, pool, row.name);
    if (inFlight > 0) throw stillInFlight(input, inFlight);
    await balancer.memberRemove(ctx, pool, row.name);
  });
  return nothing;
}

function stillInFlight({ balancer, member }: MemberInput, count: number): AppError {
  const requests = count === 1 ? "1 request is" : `${count} requests are`;
  return new AppError("endpoint_busy", `${requests} still in flight from ${balancer} to ${member}`, {
    detail: [
      {
        constraint: `${member} leaves when every request it was given is answered`,
        source: `balancer ${balancer}`,
        nearest: `wait for them or end them; ${member} gets no new ones meanwhile`,
      },
    ],
  });
}

async function isDown(platform: Platform, ctx: StepContext, machine: MachineRow): Promise<boolean> {
  const provider = await platform.endpoints.provider(machine.endpoint_id);
  const facts = await provider.machineObserve(ctx, machineRef(platform, machine));
  return facts === null || facts.power === "stopped" || facts.power === "crashed";
}

/** Asks again while the balancer wants it, for a part of the attempt; then what it said last is the attempt's outcome. */
async function patiently<T>(ctx: StepContext, ask: () => Promise<T>): Promise<T> {
  const until = ctx.clock.now() + attemptPatienceMs;
  for (;;) {
    try {
      return await ask();
    } catch (error) {
      if (!isAppError(error, "endpoint_busy") || ctx.clock.now() > until) throw error;
      await ctx.clock.sleep(pollMs, ctx.signal);
    }
  }
}

async function open(
  platform: Platform,
  vapp: VappRow,
  machine: MachineRow,
  memberTier: string,
): Promise<{ readonly pool: BalancerPool; readonly balancer: Balancer }> {
  const balance = balanceOf(vapp.blueprint as unknown as RenderedVapp, machine.tier);
  if (balance?.tier !== memberTier) {
    throw new AppError("conflict", `${machine.name} does not spread requests over ${memberTier}`, {
      detail: [
        {
          constraint: "a balancer's tier declares the tier it balances",
          source: `${(vapp.blueprint as unknown as RenderedVapp).source}, vapp.tiers.${machine.tier}.balance`,
          nearest: balance === null ? "declare `balance` there" : `use a machine of ${balance.tier}`,
        },
      ],
    });
  }
  return { pool: poolOf(balance), balancer: await openBalancer(platform, machine, balance.adapter ?? null) };
}

type Balance = NonNullable<RenderedVapp["tiers"][number]["balance"]>;

export function balanceOf(blueprint: RenderedVapp, tier: string): Balance | null {
  return blueprint.tiers.find(({ name }) => name === tier)?.balance ?? null;
}

function poolOf({ tier, port, health }: Balance): BalancerPool {
  return { name: tier, port, healthPath: health };
}

/** On the first segment of the balancer that the member is on as well. */
async function memberOf(platform: Platform, machine: MachineRow, member: MachineRow): Promise<BalancerMember> {
  const rows = await addressList(platform.database, [member.id]);
  const { segments } = machine.spec as unknown as DesiredMachine;
  const address = reachableAddress(segments, Object.fromEntries(rows.map((row) => [row.segment_name, row.address])));
  if (address !== undefined) return { name: member.name, address };
  throw new AppError("conflict", `${machine.name} and ${member.name} share no segment`);
}

/**
 * What the balancer in this machine says of its members, for views and samplers. Empty when the machine balances nothing; throws what the
 * balancer throws, so callers give it little time.
 */
export async function balancerMembers(platform: Platform, ctx: CallContext, vapp: VappRow, machine: MachineRow): Promise<MemberFacts[]> {
  const balance = balanceOf(vapp.blueprint as unknown as RenderedVapp, machine.tier);
  if (balance === null) return [];
  const balancer = await openBalancer(platform, machine, balance.adapter ?? null);
  return balancer.members(ctx, poolOf(balance));
}
