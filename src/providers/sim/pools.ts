/** The members of a simulated balancer, as pure changes of its machine. Who answers, and how busy it is, is in balancing.ts. */
import { z } from "zod";
import type { SimMachine, SimMember, SimPool } from "#providers/sim/world.ts";

export const poolLimits = { pools: 8, members: 500 } as const;

/** The part of a guest's context that a balancer reads. */
const balanceContext = z.object({
  balance: z
    .object({
      pool: z.string(),
      port: z.int(),
      health: z.string().nullish(),
      members: z.array(z.object({ name: z.string(), address: z.string() })).max(poolLimits.members),
    })
    .nullish(),
});

/** What applying a context does: its members are written down for the next start, and those that are missing join. Nobody is taken out. */
export function poolsApplied(pools: readonly SimPool[], context: unknown): readonly SimPool[] {
  const balance = balanceContext.safeParse(context).data?.balance;
  if (balance === null || balance === undefined) return pools;
  const { pool: name, port, members: applied } = balance;
  const old = pools.find((pool) => pool.name === name);
  const members = old?.members ?? [];
  const joining = applied.filter((member) => !members.some((there) => there.name === member.name)).map(memberOf);
  const changed: SimPool = { name, port, healthPath: balance.health ?? null, applied, members: [...members, ...joining] };
  return old === undefined ? [...pools, changed] : pools.map((pool) => (pool === old ? changed : pool));
}

/** What a start of the machine leaves: the members of the context that was applied last. */
export function poolsRestarted(pools: readonly SimPool[]): readonly SimPool[] {
  return pools.map((pool) => ({ ...pool, members: pool.applied.map(memberOf) }));
}

/** Adds or moves a member and lets it take traffic. Null when there is no such pool, or no room in it. */
export function memberJoined(machine: SimMachine, pool: string, { name, address }: Pick<SimMember, "name" | "address">): SimMachine | null {
  const member = memberOf({ name, address });
  return membersChanged(machine, pool, (members) =>
    members.some((there) => there.name === name) ? members.map((there) => (there.name === name ? member : there)) : [...members, member],
  );
}

export function memberDrained(machine: SimMachine, pool: string, name: string): SimMachine | null {
  return membersChanged(machine, pool, (members) => members.map((there) => (there.name === name ? { ...there, draining: true } : there)));
}

export function memberLeft(machine: SimMachine, pool: string, name: string): SimMachine | null {
  return membersChanged(machine, pool, (members) => members.filter((there) => there.name !== name));
}

const memberOf = ({ name, address }: { readonly name: string; readonly address: string }): SimMember => ({
  name,
  address,
  draining: false,
});

function membersChanged(
  machine: SimMachine,
  name: string,
  change: (members: readonly SimMember[]) => readonly SimMember[],
): SimMachine | null {
  const old = machine.pools.find((pool) => pool.name === name);
  if (old === undefined) return null;
  const members = change(old.members);
  if (members.length > poolLimits.members) return null;
  return { ...machine, pools: machine.pools.map((pool) => (pool === old ? { ...pool, members } : pool)) };
}
