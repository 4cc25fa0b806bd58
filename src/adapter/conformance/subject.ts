/**
 * What a balancer's test hands to the conformance suite, and the bench every check works on. A check owns its members (fresh names) and
 * takes them out again; the pool itself belongs to the suite.
 */
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import type { Balancer, BalancerCapabilities, BalancerMember, BalancerPool, MemberFacts } from "#adapter/balancer.ts";
import type { CallContext } from "#domain/context.ts";
import { isAppError, type ErrorCode } from "#domain/error.ts";

/** A web server the balancer can reach at `address` and the pool's port: its pages name it, its health page says 200, or 503 when sick. */
export interface TestMember extends BalancerMember {
  sick(): Promise<void>;
  well(): Promise<void>;
  /** Gone at once, with what is in flight to it. */
  kill(): Promise<void>;
}

/** Everything the suite must be able to do besides calling the adapter. */
export interface BalancerSubject {
  readonly name: string;
  readonly capabilities: BalancerCapabilities;
  /** With a health path, so that sick members can be told from well ones. */
  readonly pool: BalancerPool;
  /** A new adapter each time; it holds no state. */
  open(): Balancer;
  /** Starts a server, on the address it had before or on a new one. */
  memberStart(name: string, options?: { readonly sick?: boolean }): Promise<TestMember>;
  /** One request through the balancer, whose page takes `ms` milliseconds. Status 0: no answer came. `member`: who made the page. */
  get(ms?: number): Promise<{ readonly status: number; readonly member: string | null }>;
  /** Ends the balancer the hard way. */
  kill(): Promise<void>;
  /** Starts it again with a context that lists these members. Resolves when the adapter can talk to it. */
  start(members: readonly BalancerMember[]): Promise<void>;
  /** How long its health check may take to notice a change. Default 15 000. */
  readonly noticeMs?: number;
}

/** One property of a balancer, checkable without a test framework. */
export interface BalancerCheck {
  readonly name: string;
  readonly needs?: keyof BalancerCapabilities;
  /** Throws when the adapter breaks the property. */
  run(subject: BalancerSubject): Promise<void>;
}

const noticeLimitMs = 15_000;
const callLimitMs = 60_000;
const askAgainMs = 20;

const clock: CallContext["clock"] = {
  now: () => Date.now(),
  sleep: (ms) => new Promise((resolve) => setTimeout(resolve, ms)),
};

export function callContext(signal: AbortSignal = AbortSignal.timeout(callLimitMs)): CallContext {
  return { signal, clock, log: { debug() {}, info() {}, warn() {}, error() {} } };
}

export class BalancerBench {
  readonly subject: BalancerSubject;
  readonly balancer: Balancer;
  readonly pool: BalancerPool;
  readonly ctx: CallContext = callContext();
  readonly #servers: TestMember[] = [];

  constructor(subject: BalancerSubject) {
    this.subject = subject;
    this.balancer = subject.open();
    this.pool = subject.pool;
  }

  /** A server under a fresh name that is no member yet. */
  server(options: { readonly sick?: boolean } = {}): Promise<TestMember> {
    return this.serverAgain(`m${randomBytes(3).toString("hex")}-0`, options);
  }

  /** The one that was killed, or a new one under this name. */
  async serverAgain(name: string, options: { readonly sick?: boolean } = {}): Promise<TestMember> {
    const server = await this.subject.memberStart(name, options);
    this.#servers.push(server);
    return server;
  }

  /** A server that is a member and takes requests. */
  async member(): Promise<TestMember> {
    const server = await this.server();
    await this.join(server);
    return server;
  }

  join({ name, address }: BalancerMember): Promise<MemberFacts> {
    return again(() => this.balancer.memberEnsure(this.ctx, this.pool, { name, address }));
  }

  async leave(name: string): Promise<void> {
    if (this.balancer.capabilities.drain) await this.balancer.memberDrain(this.ctx, this.pool, name);
    await again(() => this.balancer.memberRemove(this.ctx, this.pool, name));
  }

  members(): Promise<MemberFacts[]> {
    return this.balancer.members(this.ctx, this.pool);
  }

  async stateOf(name: string): Promise<MemberFacts["state"] | null> {
    return (await this.members()).find((member) => member.name === name)?.state ?? null;
  }

  /** The names that answered so many requests, one after the other; fails when one of them failed. */
  async served(requests: number): Promise<string[]> {
    const names = new Set<string>();
    for (let sent = 0; sent < requests; sent++) {
      const { status, member } = await this.subject.get();
      assert.equal(status, 200, `request ${sent + 1} of ${requests} was answered ${status}`);
      names.add(member ?? "nobody");
    }
    return [...names].toSorted();
  }

  /** Waits on a level, as long as its health check may take. */
  async within(what: string, holds: () => Promise<boolean>): Promise<void> {
    const limitMs = this.subject.noticeMs ?? noticeLimitMs;
    const deadline = Date.now() + limitMs;
    while (!(await holds())) {
      assert.ok(Date.now() < deadline, `not within ${limitMs} ms: ${what}`);
      await clock.sleep(askAgainMs);
    }
  }

  async close(): Promise<void> {
    for (const { name } of this.#servers) await this.leave(name);
    for (const server of this.#servers) await server.kill();
  }
}

/** Turns a check on a bench into one on a subject. A failing clean-up never hides the check's own error. */
export function check(name: string, run: (bench: BalancerBench) => Promise<void>, needs?: BalancerCheck["needs"]): BalancerCheck {
  return {
    name,
    ...(needs === undefined ? {} : { needs }),
    async run(subject) {
      const bench = new BalancerBench(subject);
      try {
        await run(bench);
      } catch (error) {
        await bench.close().catch(() => {});
        throw error;
      }
      await bench.close();
    },
  };
}

/** Asks again while it is `endpoint_busy`, as a step of a run does. */
export async function again<T>(call: () => Promise<T>): Promise<T> {
  const deadline = Date.now() + noticeLimitMs;
  for (;;) {
    try {
      return await call();
    } catch (error) {
      if (!isAppError(error, "endpoint_busy") || Date.now() > deadline) throw error;
    }
    await clock.sleep(askAgainMs);
  }
}

export async function rejectsWith(code: ErrorCode, call: () => Promise<unknown>): Promise<void> {
  const outcome: unknown = await call().then(
    () => "success",
    (error: unknown) => error,
  );
  assert.equal(isAppError(outcome) ? outcome.code : String(outcome), code);
}
