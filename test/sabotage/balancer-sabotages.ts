/** Balancer adapters that break one promise each, and the checks that must turn red on them. */
import { randomBytes } from "node:crypto";
import type { BalancerSubject } from "#adapter/conformance.ts";
import { again } from "#adapter/conformance/subject.ts";
import type { Balancer } from "#adapter/balancer.ts";
import type { CallContext } from "#domain/context.ts";
import { isAppError } from "#domain/error.ts";

export interface BalancerSabotage {
  readonly name: string;
  change(inner: Balancer, subject: BalancerSubject): Partial<Balancer>;
  /** Names of the checks that must fail. */
  readonly red: readonly string[];
}

const deaf = (ctx: CallContext): CallContext => ({ ...ctx, signal: new AbortController().signal });

const joins = "memberEnsure lets a member take requests, and may be repeated";
const once = "two concurrent memberEnsure leave one member";
const checked = "a member takes no request before its health check passed, and memberEnsure is endpoint_busy until then";
const moves = "memberEnsure moves a member to another address";
const drains = "memberDrain ends new requests to it and lets those in flight end; memberEnsure takes it back";
const leaves = "memberRemove is endpoint_busy while requests are in flight, and none of them fails";
const missing = "draining and removing a missing member succeeds";
const loses = "no request fails while members come and go";
const dies = "a member that died is not shown as up, and comes back by itself";
const restarts = "a balancer that does not run is endpoint_unreachable; started again it has the members of its context";
const aborts = "an aborted signal ends every call before it does anything";

export const balancerSabotages: readonly BalancerSabotage[] = [
  {
    name: "memberEnsure only claims",
    change: () => ({
      memberEnsure: async (_ctx, { port }, member) => ({ ...member, port, state: "up", inFlight: 0, requestsTotal: 0 }),
    }),
    red: [joins, checked],
  },
  {
    name: "memberEnsure adds another one each time",
    change: (inner) => ({
      async memberEnsure(ctx, pool, member) {
        await inner.memberEnsure(ctx, pool, { ...member, name: `${member.name}-${randomBytes(2).toString("hex")}` });
        return inner.memberEnsure(ctx, pool, member);
      },
    }),
    red: [joins, once],
  },
  {
    name: "memberEnsure leaves a member where it is",
    change: (inner) => ({
      async memberEnsure(ctx, pool, member) {
        const there = (await inner.members(ctx, pool)).find(({ name }) => name === member.name);
        return inner.memberEnsure(ctx, pool, there ?? member);
      },
    }),
    red: [moves],
  },
  {
    name: "memberEnsure does not wait for the health check",
    change: (inner) => ({
      async memberEnsure(ctx, pool, member) {
        try {
          return await inner.memberEnsure(ctx, pool, member);
        } catch (error) {
          if (!isAppError(error, "endpoint_busy")) throw error;
          return { ...member, port: pool.port, state: "starting", inFlight: 0, requestsTotal: 0 };
        }
      },
    }),
    red: [checked],
  },
  {
    name: "memberDrain only looks",
    change: (inner) => ({
      async memberDrain(ctx, pool, name) {
        return { inFlight: (await inner.members(ctx, pool)).find((member) => member.name === name)?.inFlight ?? 0 };
      },
    }),
    red: [drains],
  },
  {
    name: "memberDrain says that nothing is in flight",
    change: (inner) => ({ memberDrain: async (ctx, pool, name) => (await inner.memberDrain(ctx, pool, name), { inFlight: 0 }) }),
    red: [drains],
  },
  {
    name: "memberRemove does nothing",
    change: () => ({ async memberRemove() {} }),
    red: [leaves],
  },
  {
    name: "memberRemove does not refuse while requests are in flight",
    change: (inner) => ({
      memberRemove: (ctx, pool, name) => inner.memberDrain(ctx, pool, name).then(() => again(() => inner.memberRemove(ctx, pool, name))),
    }),
    red: [leaves],
  },
  {
    name: "memberRemove fails when there is nobody to remove",
    change: (inner) => ({
      async memberRemove(ctx, pool, name) {
        if (!(await inner.members(ctx, pool)).some((member) => member.name === name)) throw new Error("no such member");
        await inner.memberRemove(ctx, pool, name);
      },
    }),
    red: [missing],
  },
  {
    name: "every change restarts the balancer",
    change: (inner, subject) => ({
      async memberEnsure(ctx, pool, member) {
        const there = await inner.members(ctx, pool);
        if (there.some(({ name }) => name === member.name)) return inner.memberEnsure(ctx, pool, member);
        await subject.kill();
        await subject.start([...there, member]);
        return inner.memberEnsure(ctx, pool, member);
      },
    }),
    red: [loses],
  },
  {
    name: "members says up of all",
    change: (inner) => ({ members: async (ctx, pool) => (await inner.members(ctx, pool)).map((member) => ({ ...member, state: "up" })) }),
    red: [checked, dies],
  },
  {
    name: "a balancer that does not run looks empty",
    change: (inner) => ({ members: (ctx, pool) => inner.members(ctx, pool).catch(() => []) }),
    red: [restarts, aborts],
  },
  {
    name: "calls ignore the signal",
    change: (inner) => ({ memberEnsure: (ctx, pool, member) => inner.memberEnsure(deaf(ctx), pool, member) }),
    red: [aborts],
  },
];

/** An adapter that is healthy but for the changed methods. */
export function sabotaged(inner: Balancer, change: Partial<Balancer>): Balancer {
  return {
    kind: inner.kind,
    capabilities: inner.capabilities,
    members: (ctx, pool) => inner.members(ctx, pool),
    memberEnsure: (ctx, pool, member) => inner.memberEnsure(ctx, pool, member),
    memberDrain: (ctx, pool, name) => inner.memberDrain(ctx, pool, name),
    memberRemove: (ctx, pool, name) => inner.memberRemove(ctx, pool, name),
    ...change,
  };
}
