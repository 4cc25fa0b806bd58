/**
 * The HAProxy adapter on a real HAProxy with real web servers: what the contract says beyond what its conformance suite can see from
 * outside, above all that no request is lost. Members are killed the moment they are said to be out.
 */
import { setTimeout as sleep } from "node:timers/promises";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from "vitest";
import type { Balancer, BalancerMember, MemberFacts } from "#adapter/balancer.ts";
import { haproxyFactory } from "#adapters/haproxy/balancer.ts";
import type { CallContext } from "#domain/context.ts";
import { AppError, isAppError } from "#domain/error.ts";
import { systemClock } from "#lib/clock.ts";
import { silentLog } from "#lib/log.ts";
import type { ChannelCommand } from "#provider/contract.ts";
import { frontPort, startHaproxyWorld, webPool, type HaproxyWorld, type MemberServer } from "../support/haproxy.ts";
import { startLoadProcess, type LoadProcess } from "../support/load-process.ts";
import { startShop } from "../support/shop-machines.ts";

const ctx: CallContext = { signal: new AbortController().signal, clock: systemClock, log: silentLog };
const patienceMs = 20_000;
let world: HaproxyWorld;
let balancer: Balancer;
let running: MemberServer[] = [];
let load: LoadProcess | null = null;

beforeAll(async () => {
  world = await startHaproxyWorld();
  balancer = haproxyFactory.open(world.access, {});
});
afterAll(() => world.stop());

beforeEach(async () => {
  running = [await world.memberStart("web-0"), await world.memberStart("web-1")];
  await world.haproxyStart(running);
  for (const member of running) await eventually(() => balancer.memberEnsure(ctx, webPool, member));
});
afterEach(async () => {
  await load?.stop();
  load = null;
  await world.haproxyKill();
  await Promise.all(running.map((member) => member.kill()));
});

const notYet = new AppError("endpoint_busy", "not yet");

/** As a step does: again while the balancer asks for it. */
async function eventually<T>(ask: () => Promise<T>): Promise<T> {
  const deadline = Date.now() + patienceMs;
  for (;;) {
    try {
      return await ask();
    } catch (error) {
      if (!isAppError(error) || !error.retryable || Date.now() > deadline) throw error;
      await sleep(50);
    }
  }
}

async function start(name: string, options?: { sick: boolean }): Promise<MemberServer> {
  const member = await world.memberStart(name, options);
  running.push(member);
  return member;
}

const join = (member: BalancerMember) => eventually(() => balancer.memberEnsure(ctx, webPool, member));

/** Out of the balancer, and dead in the same moment. */
async function leave(member: MemberServer): Promise<void> {
  await eventually(() => balancer.memberRemove(ctx, webPool, member.name));
  await member.kill();
}

async function loadStart(ratePerSecond = 200): Promise<LoadProcess> {
  const paths = ["/", "/?ms=50", "/", "/?ms=300"];
  load = await startLoadProcess(
    { host: "127.0.0.1", port: frontPort, paths, ratePerSecond, connections: 48, bodyHas: "page of" },
    world.enter,
  );
  return load;
}

const names = async () => (await balancer.members(ctx, webPool)).map(({ name }) => name).sort();
const factsOf = async (name: string): Promise<MemberFacts | undefined> =>
  (await balancer.members(ctx, webPool)).find((member) => member.name === name);

/** A proxy that tries nothing again: what a member does not answer is lost. */
async function unforgiving(): Promise<void> {
  await world.haproxyKill();
  await world.haproxyStart(running, { retries: false });
  for (const member of running) await join(member);
}

describe("under load", () => {
  it("2 -> 5 -> 2 members, three times over, and not one request fails or is tried again", async () => {
    await unforgiving();
    const running = await loadStart();
    for (let round = 0; round < 3; round++) {
      const added = await Promise.all(["web-2", "web-3", "web-4"].map((name) => start(name)));
      await Promise.all(added.map(join));
      await sleep(700);
      expect(await names()).toEqual(["web-0", "web-1", "web-2", "web-3", "web-4"]);
      for (const member of added) await leave(member);
      expect(await names()).toEqual(["web-0", "web-1"]);
    }
    const report = await running.stop();
    expect(report.failures).toEqual([]);
    expect(report.ok).toBe(report.sent);
    expect(report.sent).toBeGreaterThan(1_000);
    for (const name of ["web-2", "web-3", "web-4"]) expect(report.servedBy[name]).toBeGreaterThan(50);
    console.info(`2 -> 5 -> 2 three times: ${JSON.stringify({ ...report, failures: report.failed })}`);
  });

  it("members of the configuration file go as well, for new ones", async () => {
    await unforgiving();
    const running = await loadStart();
    for (const name of ["web-2", "web-3"]) await join(await start(name));
    for (const name of ["web-0", "web-1"]) await leave(byName(name));
    expect(await names()).toEqual(["web-2", "web-3"]);
    await sleep(300);
    const report = await running.stop();
    expect(report.failures).toEqual([]);
  });

  it("a member that serves pages but is not healthy gets none", async () => {
    const member = await start("web-2", { sick: true });
    const running = await loadStart();
    const codes = new Set<string>();
    for (let ask = 0; ask < 30; ask++) {
      const failure = await balancer.memberEnsure(ctx, webPool, member).catch((error: unknown) => error);
      codes.add(isAppError(failure) ? failure.code : "in");
      await sleep(50);
    }
    expect([...codes]).toEqual(["endpoint_busy"]);
    expect((await factsOf("web-2"))?.requestsTotal).toBe(0);
    await member.well();
    expect((await join(member)).state).toBe("up");
    await sleep(500);
    const report = await running.stop();
    expect(report.failures).toEqual([]);
    expect(report.servedBy["web-2"]).toBeGreaterThan(10);
  });

  it("a member that dies is out within two seconds, can be taken out, and comes back", async () => {
    const member = await start("web-2");
    await join(member);
    const running = await loadStart();
    await sleep(500);
    const diedMs = running.sinceBegan();
    await member.kill();
    await eventually(async () => {
      if ((await factsOf("web-2"))?.state !== "down") throw notYet;
    });
    await eventually(() => balancer.memberRemove(ctx, webPool, "web-2"));
    expect(await names()).toEqual(["web-0", "web-1"]);
    await join(await start("web-2"));
    await sleep(500);
    const report = await running.stop();
    // What it had begun to answer is lost with it, nothing else.
    const late = report.failures.filter(({ startMs, endMs }) => startMs > diedMs + 100 || endMs > diedMs + 2_000);
    expect(late).toEqual([]);
    expect(report.failed).toBeLessThan(20);
    console.info(`a member died: ${report.failed} of ${report.sent} failed`);
  });
});

describe("in flight", () => {
  it("a request keeps its member until it is answered, and the refusal says so", async () => {
    await leave(byName("web-1"));
    const slow = world.get("/?ms=1500");
    await eventually(async () => {
      if ((await factsOf("web-0"))?.inFlight !== 1) throw notYet;
    });
    expect(await balancer.memberDrain(ctx, webPool, "web-0")).toEqual({ inFlight: 1 });
    await expect(balancer.memberRemove(ctx, webPool, "web-0")).rejects.toMatchObject({
      code: "endpoint_busy",
      message: "web-0 still has 1 request in flight",
    });
    expect((await factsOf("web-0"))?.state).toBe("draining");
    // Nobody is left for new requests.
    expect((await world.get("/")).status).toBe(503);
    await eventually(() => balancer.memberRemove(ctx, webPool, "web-0"));
    expect(await slow).toEqual({ status: 200, body: "page of web-0\n" });
    expect(await names()).toEqual([]);
  });

  it("idle connections kept for reuse do not hold a member, also after maintenance by somebody else", async () => {
    for (let ask = 0; ask < 8; ask++) await world.get("/");
    const began = performance.now();
    await balancer.memberRemove(ctx, webPool, "web-1");
    expect(performance.now() - began).toBeLessThan(2_000);

    const slow = world.get("/?ms=500");
    await eventually(async () => {
      if ((await factsOf("web-0"))?.inFlight !== 1) throw notYet;
    });
    await world.access.run(ctx, { argv: [], stdin: "set server web/web-0 state maint\n" });
    expect((await slow).status).toBe(200);
    await balancer.memberRemove(ctx, webPool, "web-0");
    expect(await names()).toEqual([]);
  });

  it("a drained member comes back where it was, without being added anew", async () => {
    await balancer.memberDrain(ctx, webPool, "web-1");
    const { requestsTotal } = (await factsOf("web-1"))!;
    for (let ask = 0; ask < 4; ask++) await world.get("/");
    expect((await factsOf("web-1"))?.requestsTotal).toBe(requestsTotal);
    expect((await join(byName("web-1"))).state).toBe("up");
    for (let ask = 0; ask < 4; ask++) await world.get("/");
    expect((await factsOf("web-1"))?.requestsTotal).toBe(requestsTotal + 2);
  });
});

describe("whatever happens", () => {
  it("a member with another address is moved", async () => {
    await unforgiving();
    const running = await loadStart();
    const moved = await world.memberStart("web-1", { address: "127.0.2.1" });
    const before = byName("web-1");
    expect(await join(moved)).toMatchObject({ name: "web-1", address: "127.0.2.1", state: "up" });
    await before.kill();
    await sleep(300);
    expect((await running.stop()).failures).toEqual([]);
    await moved.kill();
  });

  it("everything may be repeated, and be done twice at once", async () => {
    const member = await start("web-2");
    await Promise.all([join(member), join(member), join(member), join(member)]);
    expect(await names()).toEqual(["web-0", "web-1", "web-2"]);
    const remove = () => eventually(() => balancer.memberRemove(ctx, webPool, "web-2"));
    await Promise.all([remove(), remove(), remove()]);
    await remove();
    expect(await balancer.memberDrain(ctx, webPool, "web-2")).toEqual({ inFlight: 0 });
    expect(await names()).toEqual(["web-0", "web-1"]);
    // One joins while another leaves: either may win, and the next call brings what it wants.
    await Promise.allSettled([join(member), remove(), join(member), remove()]);
    await join(member);
    expect((await factsOf("web-2"))?.state).toBe("up");
    await remove();
    expect(await names()).toEqual(["web-0", "web-1"]);
  });

  it("a restarted proxy has what its file says; the adapter goes on from there", async () => {
    const member = await start("web-2");
    await join(member);
    await world.haproxyKill();
    await expect(balancer.members(ctx, webPool)).rejects.toMatchObject({ code: "endpoint_unreachable" });
    await expect(balancer.memberRemove(ctx, webPool, "web-2")).rejects.toMatchObject({ code: "endpoint_unreachable" });
    await world.haproxyStart([byName("web-0"), byName("web-1"), member]);
    await join(member);
    await balancer.memberRemove(ctx, webPool, "web-0");
    expect(await names()).toEqual(["web-1", "web-2"]);
    await world.haproxyKill();
    await world.haproxyStart([member]);
    await join(byName("web-0"));
    expect(await names()).toEqual(["web-0", "web-2"]);
  });

  it("a pool the file does not declare, and one that is not asked for its page, are refused with the reason", async () => {
    const member = { name: "web-5", address: "127.0.1.99" };
    const other = { ...webPool, name: "other" };
    await expect(balancer.memberEnsure(ctx, other, member)).rejects.toMatchObject({ code: "endpoint_refused" });
    await expect(balancer.members(ctx, other)).rejects.toMatchObject({ code: "endpoint_refused" });
    // Who is to leave it is not in it.
    expect(await balancer.memberDrain(ctx, other, member.name)).toEqual({ inFlight: 0 });
    await balancer.memberRemove(ctx, other, member.name);
    await world.haproxyKill();
    await world.haproxyStart(running, { checkPath: null });
    const failure = await join(byName("web-0")).catch((error: unknown) => error);
    expect(failure).toMatchObject({ code: "endpoint_refused" });
    expect((failure as Error).message).toContain("/health");
  });
});

function byName(name: string): MemberServer {
  return running.findLast((member) => member.name === name)!;
}

describe("in the image", () => {
  it("the adapter works through the guest channel, and what the image wrote down can be taken out", async () => {
    const shop = await startShop();
    try {
      const proxy = await shop.machine("proxy-0", "haproxy", ["front"]);
      await shop.ready(proxy);
      const [written, added] = ["10.64.1.200", "10.64.1.201"].map((address, index) => ({ name: `web-${index}`, address }));
      const access = { run: (call: CallContext, command: ChannelCommand) => proxy.provider.channelRun(call, proxy.spec, command) };
      const inside = haproxyFactory.open(access, {});
      const pool = { name: "web", port: 80, healthPath: "/health" };
      await expect(inside.members(ctx, pool)).rejects.toMatchObject({ code: "endpoint_unreachable" });
      await shop.apply(proxy, { config: {}, balance: { pool: "web", port: 80, health: "/health", members: [written] } });
      // Nobody is at these addresses: known, checked, and sent nothing.
      await expect(inside.memberEnsure(ctx, pool, added!)).rejects.toMatchObject({ code: "endpoint_busy" });
      expect((await inside.members(ctx, pool)).map(({ name, address, port }) => `${name} ${address}:${port}`)).toEqual([
        "web-0 10.64.1.200:80",
        "web-1 10.64.1.201:80",
      ]);
      for (const { name } of [written!, added!]) await inside.memberRemove(ctx, pool, name);
      expect(await inside.members(ctx, pool)).toEqual([]);
    } finally {
      await shop.stop();
    }
  });
});
