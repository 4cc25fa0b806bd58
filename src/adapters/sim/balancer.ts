/**
 * The balancer of the simulated site: `/usr/lib/stratiform/balancer` in the guest of the machine that balances. Pools come with the
 * context that is applied to it; all state is there, so calls may be repeated and made twice at once.
 */
import { z } from "zod";
import type { Balancer, BalancerAccess, BalancerCapabilities, BalancerFactory, BalancerPool, MemberFacts } from "#adapter/balancer.ts";
import type { CallContext } from "#domain/context.ts";
import { AppError } from "#domain/error.ts";

export const simBalancerCapabilities: BalancerCapabilities = { drain: true, liveMembers: true, weights: false };

const program = "/usr/lib/stratiform/balancer";
const busyCode = 75;
const notRunningCode = 69;

const memberFacts = z.object({
  name: z.string(),
  address: z.string(),
  port: z.number(),
  state: z.enum(["up", "starting", "down", "draining", "maintenance", "unknown"]),
  inFlight: z.number(),
  requestsTotal: z.number(),
});
const drained = z.object({ inFlight: z.number() });

export const simBalancerFactory: BalancerFactory = {
  kind: "sim",
  config: z.strictObject({}),
  open: openSim,
};

function openSim(access: BalancerAccess): Balancer {
  return {
    kind: "sim",
    capabilities: simBalancerCapabilities,
    members: (ctx, pool) => ask(access, ctx, z.array(memberFacts), "list", pool),
    async memberEnsure(ctx, pool, { name, address }): Promise<MemberFacts> {
      const facts = await ask(access, ctx, memberFacts, "ensure", pool, name, address);
      if (facts.state !== "up") throw new AppError("endpoint_busy", `${name} does not pass its health check yet`);
      return facts;
    },
    memberDrain: (ctx, pool, name) => ask(access, ctx, drained, "drain", pool, name),
    memberRemove: (ctx, pool, name) => ask(access, ctx, z.void(), "remove", pool, name),
  };
}

async function ask<T>(
  access: BalancerAccess,
  ctx: CallContext,
  answer: z.ZodType<T>,
  verb: string,
  pool: BalancerPool,
  ...words: readonly string[]
): Promise<T> {
  const { exitCode, stdout, stderr } = await access.run(ctx, { argv: [program, verb, pool.name, ...words] });
  if (exitCode === busyCode) throw new AppError("endpoint_busy", "the balancer asks to come back", { internal: stderr });
  if (exitCode === notRunningCode) throw new AppError("endpoint_unreachable", "the balancer does not run yet", { internal: stderr });
  if (exitCode !== 0) throw new AppError("endpoint_refused", "the balancer refused the change", { internal: stderr });
  return answer.parse(stdout === "" ? undefined : JSON.parse(stdout));
}
