/**
 * The contract of a balancer adapter: our connector to one load balancer that spreads requests over the machines of a tier. A balancer is
 * a machine of the vApp (a reverse proxy in a container) or a device beside it (a hardware ADC): the adapter is given a way to talk to it
 * and knows nothing of vApps, orders or databases.
 *
 * Doctrine, as for providers: `ensure` observes, adds what is missing and syncs what differs; `remove` of a missing member succeeds;
 * everything may be repeated and run twice at once. No call drops a request: a member takes traffic only once the balancer's own health
 * check passed, and leaves only when nothing is in flight to it. Changes survive a restart of the balancer.
 *
 * Errors: `endpoint_unreachable` when it does not answer, `endpoint_busy` while a member is not in rotation or not drained yet (ask
 * again), `endpoint_refused` when it said no, `capability_missing`.
 */
import type { z } from "zod";
import type { CallContext } from "#domain/context.ts";

export interface BalancerCapabilities {
  /** A member can stop taking new requests while those in flight end. */
  readonly drain: boolean;
  /** Members come and go without a reload that closes connections. */
  readonly liveMembers: boolean;
  readonly weights: boolean;
}

/** What is spread: one port of one tier. */
export interface BalancerPool {
  /** Name of the tier: [a-z][a-z0-9]{0,15}. */
  readonly name: string;
  /** Port of the members. */
  readonly port: number;
  /** Path the balancer asks each member for; null: a TCP connection is enough. */
  readonly healthPath: string | null;
}

export interface BalancerMember {
  /** Name of the machine, unique in the pool. */
  readonly name: string;
  readonly address: string;
}

export type MemberState = "up" | "starting" | "down" | "draining" | "maintenance" | "unknown";

/** What the balancer says of a member, never what was wished for. */
export interface MemberFacts extends BalancerMember {
  readonly port: number;
  readonly state: MemberState;
  /** Requests in flight to it now. */
  readonly inFlight: number;
  /** Requests it took since the balancer knows it. */
  readonly requestsTotal: number;
}

export interface Balancer {
  readonly kind: string;
  readonly capabilities: BalancerCapabilities;
  /** Members of the pool, in the balancer's order. */
  members(ctx: CallContext, pool: BalancerPool): Promise<MemberFacts[]>;
  /** Adds the member, or moves it to this address, and lets it take traffic. `endpoint_busy` until its health check passed. */
  memberEnsure(ctx: CallContext, pool: BalancerPool, member: BalancerMember): Promise<MemberFacts>;
  /** No new requests go to it. Answers what is still in flight; succeeds (0) when it is missing. */
  memberDrain(ctx: CallContext, pool: BalancerPool, name: string): Promise<{ readonly inFlight: number }>;
  /** Takes it out. `endpoint_busy` while requests are in flight to it. Succeeds when it is missing. */
  memberRemove(ctx: CallContext, pool: BalancerPool, name: string): Promise<void>;
}

/** How an adapter reaches a balancer that is a machine of the vApp: its guest channel. */
export interface BalancerAccess {
  run(
    ctx: CallContext,
    command: { readonly argv: readonly string[]; readonly stdin?: string; readonly timeoutMs?: number },
  ): Promise<{ readonly exitCode: number; readonly stdout: string; readonly stderr: string }>;
}

export interface BalancerFactory {
  /** Named in a blueprint's `balance.adapter`. */
  readonly kind: string;
  /** Of the adapter's own settings, for devices beside the vApp. */
  readonly config: z.ZodType;
  /** No I/O until the first call. */
  open(access: BalancerAccess, config: unknown): Balancer;
}
