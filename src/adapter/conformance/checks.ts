import assert from "node:assert/strict";
import type { BalancerCapabilities } from "#adapter/balancer.ts";
import { callContext, check, rejectsWith, type BalancerBench, type BalancerCheck } from "#adapter/conformance/subject.ts";

/** Long enough for several calls on a loaded machine while a request is in flight. */
const slowMs = 1_500;
const fewRequests = 20;

const joining: readonly BalancerCheck[] = [
  check("memberEnsure lets a member take requests, and may be repeated", async (bench) => {
    const { name, address } = await bench.server();
    const first = await bench.join({ name, address });
    assert.deepEqual([first.name, first.address, first.port, first.state], [name, address, bench.pool.port, "up"]);
    await bench.join({ name, address });
    const members = await bench.members();
    assert.deepEqual(
      members.map((member) => member.name),
      [name],
    );
    assert.deepEqual(await bench.served(fewRequests), [name]);
    const after = (await bench.members())[0]!;
    assert.ok(after.requestsTotal >= fewRequests, `${after.requestsTotal} requests were counted`);
    assert.equal(after.inFlight, 0);
  }),

  check("two concurrent memberEnsure leave one member", async (bench) => {
    const { name, address } = await bench.server();
    const other = bench.subject.open();
    const both = [bench.balancer, other].map((balancer) =>
      // Busy is a fair answer to one of them; it asks again below.
      balancer.memberEnsure(bench.ctx, bench.pool, { name, address }).catch((error: unknown) => error),
    );
    await Promise.all(both);
    await bench.join({ name, address });
    assert.deepEqual(
      (await bench.members()).map((member) => member.name),
      [name],
    );
  }),

  check("a member takes no request before its health check passed, and memberEnsure is endpoint_busy until then", async (bench) => {
    const well = await bench.member();
    const sick = await bench.server({ sick: true });
    const ensure = () => bench.balancer.memberEnsure(bench.ctx, bench.pool, { name: sick.name, address: sick.address });
    await rejectsWith("endpoint_busy", ensure);
    assert.deepEqual(await bench.served(fewRequests), [well.name]);
    await rejectsWith("endpoint_busy", ensure);
    assert.notEqual(await bench.stateOf(sick.name), "up");
    await sick.well();
    assert.equal((await bench.join(sick)).state, "up");
    assert.deepEqual(await bench.served(fewRequests), [well.name, sick.name].toSorted());
  }),

  check("memberEnsure moves a member to another address", async (bench) => {
    const [first, second] = [await bench.member(), await bench.server()];
    const moved = await bench.join({ name: first.name, address: second.address });
    assert.equal(moved.address, second.address);
    assert.deepEqual(
      (await bench.members()).map(({ name, address }) => `${name} ${address}`),
      [`${first.name} ${second.address}`],
    );
    assert.deepEqual(await bench.served(fewRequests), [second.name]);
  }),
];

/** Sends slow requests until one of them is in flight to the member; answers what became of all. */
async function busyWith(bench: BalancerBench, name: string): Promise<() => Promise<number[]>> {
  const sent = Array.from({ length: 4 }, () => bench.subject.get(slowMs));
  const inFlight = async () => ((await bench.members()).find((member) => member.name === name)?.inFlight ?? 0) > 0;
  await bench.within(`a request in flight to ${name}`, inFlight);
  return async () => (await Promise.all(sent)).map(({ status }) => status);
}

const leaving: readonly BalancerCheck[] = [
  check(
    "memberDrain ends new requests to it and lets those in flight end; memberEnsure takes it back",
    async (bench) => {
      const [stays, drains] = [await bench.member(), await bench.member()];
      const drain = () => bench.balancer.memberDrain(bench.ctx, bench.pool, drains.name);
      const slow = await busyWith(bench, drains.name);
      assert.ok((await drain()).inFlight > 0, "nothing is said to be in flight");
      assert.deepEqual(await bench.served(fewRequests), [stays.name]);
      assert.deepEqual(await slow(), [200, 200, 200, 200]);
      await bench.within("all requests have ended", async () => (await drain()).inFlight === 0);
      assert.equal(await bench.stateOf(drains.name), "draining");
      assert.equal((await bench.join(drains)).state, "up");
      assert.deepEqual(await bench.served(fewRequests), [stays.name, drains.name].toSorted());
    },
    "drain",
  ),

  check("memberRemove is endpoint_busy while requests are in flight, and none of them fails", async (bench) => {
    const [stays, leaves] = [await bench.member(), await bench.member()];
    const slow = await busyWith(bench, leaves.name);
    await rejectsWith("endpoint_busy", () => bench.balancer.memberRemove(bench.ctx, bench.pool, leaves.name));
    assert.deepEqual(await slow(), [200, 200, 200, 200]);
    await bench.leave(leaves.name);
    assert.equal(await bench.stateOf(leaves.name), null);
    assert.deepEqual(await bench.served(fewRequests), [stays.name]);
  }),

  check("draining and removing a missing member succeeds", async (bench) => {
    const missing = "nobody-0";
    if (bench.balancer.capabilities.drain) {
      assert.deepEqual(await bench.balancer.memberDrain(bench.ctx, bench.pool, missing), { inFlight: 0 });
    }
    await bench.balancer.memberRemove(bench.ctx, bench.pool, missing);
    assert.deepEqual(await bench.members(), []);
  }),

  check("no request fails while members come and go", async (bench) => {
    const stays = await bench.member();
    const comes = await bench.server();
    const failed: number[] = [];
    const servedBy = new Set<string | null>();
    let under = true;
    const clients = Array.from({ length: 4 }, async (_, client) => {
      while (under) {
        const { status, member } = await bench.subject.get(client * 10);
        if (status !== 200) failed.push(status);
        servedBy.add(member);
      }
    });
    try {
      for (let round = 0; round < 3; round++) {
        await bench.join(comes);
        await bench.within(
          "it is used",
          async () => ((await bench.members()).find(({ name }) => name === comes.name)?.requestsTotal ?? 0) > 0,
        );
        await bench.leave(comes.name);
      }
    } finally {
      under = false;
      await Promise.all(clients);
    }
    assert.deepEqual(failed, []);
    assert.deepEqual([...servedBy].toSorted(), [stays.name, comes.name].toSorted());
  }),
];

const failing: readonly BalancerCheck[] = [
  check("a member that died is not shown as up, and comes back by itself", async (bench) => {
    const [stays, dies] = [await bench.member(), await bench.member()];
    await dies.kill();
    await bench.within("its death is noticed", async () => (await bench.stateOf(dies.name)) !== "up");
    assert.deepEqual(await bench.served(fewRequests), [stays.name]);
    await bench.serverAgain(dies.name);
    await bench.within("its return is noticed", async () => (await bench.stateOf(dies.name)) === "up");
    assert.deepEqual(await bench.served(fewRequests), [stays.name, dies.name].toSorted());
  }),

  check("a balancer that does not run is endpoint_unreachable; started again it has the members of its context", async (bench) => {
    const [kept, lost] = [await bench.member(), await bench.member()];
    await bench.subject.kill();
    await rejectsWith("endpoint_unreachable", () => bench.members());
    await rejectsWith("endpoint_unreachable", () =>
      bench.balancer.memberEnsure(bench.ctx, bench.pool, { name: lost.name, address: lost.address }),
    );
    await bench.subject.start([{ name: kept.name, address: kept.address }]);
    assert.deepEqual(
      (await bench.members()).map(({ name }) => name),
      [kept.name],
    );
    await bench.join(kept);
    await bench.join(lost);
    assert.deepEqual(await bench.served(fewRequests), [kept.name, lost.name].toSorted());
  }),

  check("an aborted signal ends every call before it does anything", async (bench) => {
    const { name, address } = await bench.server();
    const aborted = callContext(AbortSignal.abort(new Error("nobody waits")));
    await assert.rejects(bench.balancer.memberEnsure(aborted, bench.pool, { name, address }));
    await assert.rejects(bench.balancer.members(aborted, bench.pool));
    assert.deepEqual(await bench.members(), []);
  }),
];

/** Every property a balancer must have, whatever it lacks. The names are unique: sabotage tests pick checks by name. */
export const balancerChecks: readonly BalancerCheck[] = [...joining, ...leaving, ...failing];

const lacksDrain = check("lacks: drain", async (bench) => {
  const { name } = await bench.member();
  await rejectsWith("capability_missing", () => bench.balancer.memberDrain(bench.ctx, bench.pool, name));
});

/** The checks that apply, the missing ones by their `lacks:` check. */
export function checksFor(capabilities: BalancerCapabilities): readonly BalancerCheck[] {
  const applying = balancerChecks.filter(({ needs }) => needs === undefined || capabilities[needs]);
  return [...applying, ...(capabilities.drain ? [] : [lacksDrain])];
}
