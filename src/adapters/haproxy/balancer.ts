/**
 * The balancer contract on HAProxy's runtime API: members come and go without a reload. The balancer's configuration file is not ours;
 * its image rewrites it whenever a context is applied, so what is done here survives a restart.
 *
 * Each call looks at the pool, decides one move from what it saw (`move.ts`), makes it, and looks again. Nothing is remembered between
 * calls, so a call may be repeated, may be cut off anywhere, and two may work on one member: the last one wins.
 */
import { z } from "zod";
import type {
  Balancer,
  BalancerAccess,
  BalancerCapabilities,
  BalancerFactory,
  BalancerMember,
  BalancerPool,
  MemberFacts,
} from "#adapter/balancer.ts";
import { adminAsk, memberAddress, memberName, noPool, poolName } from "#adapters/haproxy/admin.ts";
import { joinMove, leaveMove, moveCommands, type Move } from "#adapters/haproxy/move.ts";
import type { ServerStat } from "#adapters/haproxy/stat.ts";
import type { CallContext } from "#domain/context.ts";
import { AppError } from "#domain/error.ts";

export const haproxyCapabilities: BalancerCapabilities = { drain: true, liveMembers: true, weights: true };

/** Moves of one call. The longest way is: drain, take out, add, enable, give weight. */
const movesMax = 8;
/** Idle connections of a member in maintenance are closed by the balancer's other threads, a moment later. */
const closingPauseMs = 20;

export const haproxyFactory: BalancerFactory = {
  kind: "haproxy",
  config: z.strictObject({}),
  open: (access) => openHaproxy(access),
};

function openHaproxy(access: BalancerAccess): Balancer {
  return {
    kind: "haproxy",
    capabilities: haproxyCapabilities,
    async members(ctx, pool) {
      const rows = await adminAsk(access, ctx, pool);
      if (rows === null) throw noPool(pool);
      return rows.map(memberFacts);
    },
    async memberEnsure(ctx, pool, member) {
      const name = memberName(member.name);
      const target = { address: memberAddress(member), port: pool.port };
      const row = await follow(access, ctx, pool, name, (seen) => joinMove(seen, target));
      if (row === undefined) throw new AppError("endpoint_busy", `${name} was taken out again meanwhile`);
      checkKind(pool, row);
      return memberFacts(row);
    },
    async memberDrain(ctx, pool, name) {
      const path = `${poolName(pool)}/${memberName(name)}`;
      const before = find(await adminAsk(access, ctx, pool), name);
      if (before === undefined || before.state === "maintenance") return { inFlight: before?.inFlight ?? 0 };
      // Read after the change: what was counted before it may have been joined by one more.
      const after = find(await adminAsk(access, ctx, pool, [`set server ${path} state drain`]), name);
      return { inFlight: after?.inFlight ?? 0 };
    },
    async memberRemove(ctx, pool, name) {
      const path = `${poolName(pool)}/${memberName(name)}`;
      // Drained whatever it looks like: one that is down now would take requests again when it comes back.
      await follow(access, ctx, pool, name, leaveMove, [`set server ${path} state drain`]);
    },
  };
}

/** Makes moves until the last one is made; answers how the member is then. Throws `endpoint_busy` where only time can help. */
async function follow(
  access: BalancerAccess,
  ctx: CallContext,
  pool: BalancerPool,
  name: string,
  decide: (row: ServerStat | undefined) => Move,
  first: readonly string[] = [],
): Promise<ServerStat | undefined> {
  let rows = await adminAsk(access, ctx, pool, first);
  let row = find(rows, name);
  for (let moves = 0; moves < movesMax; moves++) {
    const move = decide(row);
    if (move.kind === "done") return row;
    if (rows === null) throw noPool(pool);
    if (move.kind === "wait") throw new AppError("endpoint_busy", `${name} ${move.reason}`);
    rows = await adminAsk(access, ctx, pool, moveCommands(move, `${pool.name}/${name}`));
    row = find(rows, name);
    if (move.kind === "takeOut" && row !== undefined) await ctx.clock.sleep(closingPauseMs, ctx.signal);
  }
  throw new AppError("endpoint_busy", `${name} does not come to rest`, { internal: JSON.stringify(row) });
}

/** A member that only answers connections is no answer to "is the page there". The check itself is in the configuration file. */
function checkKind(pool: BalancerPool, row: ServerStat): void {
  if (pool.healthPath === null || row.check.startsWith("L7")) return;
  const constraint = `members of ${pool.name} are asked for ${pool.healthPath}, but the balancer only opens a connection to them`;
  const detail = [
    { constraint, source: "the balancer's configuration file", nearest: "apply the balancer's context, which writes that file" },
  ];
  throw new AppError("endpoint_refused", constraint, { detail, internal: row.check });
}

/** A pool that is not there has no members. */
function find(rows: readonly ServerStat[] | null, name: string): ServerStat | undefined {
  return rows?.find((row) => row.name === name);
}

function memberFacts({ name, address, port, state, inFlight, requestsTotal }: ServerStat): MemberFacts & BalancerMember {
  return { name, address, port, state, inFlight, requestsTotal };
}
