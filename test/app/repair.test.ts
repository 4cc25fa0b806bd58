/**
 * Repair, from the damage to the order: noticed with source and time, shown as degraded, ordered once by the reconciler through the gate,
 * and well again; or, where automation may not, said once with what a person may do, and nothing touched.
 */
import { afterAll, beforeAll, beforeEach, expect, test } from "vitest";
import type { Platform } from "#app/context.ts";
import { PolicyGate } from "#app/policy.ts";
import { repairBound, RepairReconciler, settleMs } from "#app/reconcilers/repair.ts";
import { HealthSampler, healthLimits } from "#app/samplers/health.ts";
import { sampleEndpoints } from "#app/samplers/machine.ts";
import { sampleBalancers } from "#app/samplers/network.ts";
import type { CallContext } from "#domain/context.ts";
import { policyList } from "#store/installation.ts";
import { startInstallation, type Installation } from "../support/installation.ts";
import { seenInSim, worldProblems } from "../support/world-verdict.ts";

let installation: Installation;
let health: HealthSampler;
beforeAll(async () => {
  installation = await startInstallation();
  health = new HealthSampler(installation.platform);
});
afterAll(() => installation.close());
beforeEach(() => installation.sim.faultClear());

interface Machine {
  readonly id: string;
  readonly name: string;
  readonly external_name: string;
}
type Machines = Readonly<Record<string, Machine>>;

/** As at this time from now on: ages pass without waiting. */
function loop(aheadMs = 0): CallContext {
  const { log, clock, signal } = installation.ctx;
  return { log, signal, clock: { now: () => clock.now() + aheadMs, sleep: (ms, until) => clock.sleep(ms, until) } };
}

/** Everything that looks, as often as it takes to be sure. */
async function look(): Promise<void> {
  await sampleEndpoints(installation.platform, loop());
  for (let round = 0; round < healthLimits.failures; round++) await health.round(loop());
  await sampleBalancers(installation.platform, loop());
}

async function deployed(name: string, offering = "tiny"): Promise<Machines> {
  expect(await installation.waitFor(await installation.order("deploy", { input: { offering, name } }))).toBe("succeeded");
  const rows = await installation.sql<Machine>(
    `select m.id, m.name, m.external_name from machine m join vapp v on v.id = m.vapp_id where v.name = $1 order by m.name`,
    [name],
  );
  return Object.fromEntries(rows.map((row) => [row.name, row]));
}

async function stateOf(name: string): Promise<string | undefined> {
  return (await installation.sql<{ state: string }>(`select state from vapp where name = $1`, [name]))[0]?.state;
}

function repairs(name: string) {
  return installation.sql<{ principal: string; state: string; run_id: string }>(
    `select p.name as principal, o.state, o.run_id from "order" o join principal p on p.id = o.principal_id join vapp v on v.id = o.vapp_id
     where v.name = $1 and o.action = 'repair' order by o.created_at`,
    [name],
  );
}

function events(name: string, ...types: string[]) {
  return installation.sql<{ type: string; data: Record<string, never>; at: Date }>(
    `select e.type, e.data, e.at from event e join vapp v on v.id = e.vapp_id where v.name = $1 and e.type = any($2) order by e.seq`,
    [name, types],
  );
}

/** One round of the reconciler and, when it ordered something, the end of that. */
async function reconcile(name: string, repairer: RepairReconciler, aheadMs = 2 * settleMs): Promise<string> {
  const before = (await repairs(name)).length;
  await repairer.round(loop(aheadMs));
  const after = await repairs(name);
  if (after.length === before) return "nothing";
  return installation.engine.waitForRun(after.at(-1)!.run_id, 60_000);
}

async function problems(name: string): Promise<string[]> {
  return worldProblems(installation.sql, seenInSim(await installation.simDump()), { [name]: "running" });
}

interface Damage {
  readonly how: string;
  readonly offering?: string;
  readonly machine: string;
  /** Event that tells it, and where it was seen. */
  readonly event: string;
  readonly source: string;
  act(sim: Installation["sim"], name: string): Promise<void>;
}

const damages: readonly Damage[] = [
  {
    how: "a machine is killed",
    machine: "node-0",
    event: "machine.crashed",
    source: "sim:a",
    act: (sim, name) => sim.machineKill("a", name),
  },
  {
    how: "a container is lost",
    machine: "edge-0",
    event: "machine.missing",
    source: "sim:a",
    act: (sim, name) => sim.machineVanish("a", name),
  },
  {
    how: "a machine hangs",
    machine: "edge-0",
    event: "machine.unhealthy",
    source: "probe",
    act: (sim, name) => sim.machineHang("a", name),
  },
  {
    how: "a NIC is removed",
    machine: "edge-0",
    event: "machine.drifted",
    source: "sim:a",
    act: (sim, name) => sim.nicRemove("a", name, "eth0"),
  },
  {
    how: "memory and vCPUs are changed",
    machine: "node-0",
    event: "machine.drifted",
    source: "sim:a",
    act: (sim, name) => sim.machineChange("a", name, { vcpus: 3, memoryMiB: 77 }),
  },
  {
    how: "a machine with volumes is lost",
    offering: "trio",
    machine: "store-0",
    event: "machine.missing",
    source: "sim:a",
    act: (sim, name) => sim.machineVanish("a", name),
  },
];

test.each(damages)("$how: noticed, shown, repaired by one order, well again", async ({ how, offering, machine, event, source, act }) => {
  const name = how.replaceAll(/[^a-z]+/gi, "-").toLowerCase();
  const machines = await deployed(name, offering);
  const before = Date.now();
  await act(installation.sim, machines[machine]!.external_name);
  await look();
  expect(await stateOf(name)).toBe("degraded");
  const [told] = await events(name, event);
  expect(told?.data).toMatchObject({ machine, source });
  expect(told!.at.getTime()).toBeGreaterThanOrEqual(before);
  const repairer = new RepairReconciler(installation.platform);
  expect(await reconcile(name, repairer)).toBe("succeeded");
  await look();
  expect(await reconcile(name, repairer)).toBe("nothing");
  expect(await stateOf(name)).toBe("active");
  expect((await repairs(name)).map(({ principal, state }) => [principal, state])).toEqual([["reconciler", "succeeded"]]);
  expect(await problems(name)).toEqual([]);
});

test("what has just happened is given a moment: a machine that stops on its way to being deleted is one cause, not two", async () => {
  const name = "deleted-by-hand";
  const machines = await deployed(name);
  const { external_name } = machines["edge-0"]!;
  const repairer = new RepairReconciler(installation.platform);
  await installation.sim.machineKill("a", external_name);
  await look();
  expect(await reconcile(name, repairer, -60_000)).toBe("nothing");
  await installation.sim.machineVanish("a", external_name);
  await look();
  expect(await reconcile(name, repairer)).toBe("succeeded");
  await look();
  expect(await repairs(name)).toHaveLength(1);
  expect(await problems(name)).toEqual([]);
});

test("a machine that rebooted by itself gets its configuration again, and is not restarted", async () => {
  const name = "rebooted";
  const machines = await deployed(name);
  const { external_name } = machines["edge-0"]!;
  const boots = async () => (await installation.simDump()).endpoints["a"]!.machines.find((one) => one.name === external_name)!;
  // What its services do when they have lost what they were told.
  await installation.sim.guestBehave({ endpoint: "a", name: external_name, httpStatus: 503 });
  await look();
  expect(await stateOf(name)).toBe("degraded");
  const before = await boots();
  const repairer = new RepairReconciler(installation.platform);
  await repairer.round(loop(2 * settleMs));
  await installation.sim.guestBehave({ endpoint: "a", name: external_name, httpStatus: 200 });
  const [order] = await repairs(name);
  expect(await installation.engine.waitForRun(order!.run_id, 60_000)).toBe("succeeded");
  expect((await boots()).boots).toBe(before.boots);
  await look();
  expect(await stateOf(name)).toBe("active");
});

test("a balancer that lost members, and one whose member was put aside by hand, gets them back", async () => {
  const name = "balanced";
  const machines = await deployed(name, "trio");
  const provider = installation.platform.endpoints;
  const [row] = await installation.sql<{ endpoint_id: string; vapp_id: string }>(`select endpoint_id, vapp_id from machine where id = $1`, [
    machines["door-0"]!.id,
  ]);
  const endpoint = await provider.provider(row!.endpoint_id);
  const ref = {
    name: machines["door-0"]!.external_name,
    owner: { installation: installation.platform.installationId, vapp: row!.vapp_id, object: machines["door-0"]!.id },
  };
  const repairer = new RepairReconciler(installation.platform);
  for (const verb of ["remove", "drain"]) {
    await endpoint.channelRun(loop(), ref, { argv: ["/usr/lib/stratiform/balancer", verb, "worker", "worker-1"] });
    await look();
    expect(await stateOf(name), verb).toBe("degraded");
    const drifted = (await events(name, "machine.drifted")).at(-1);
    expect(drifted?.data).toMatchObject({
      machine: "door-0",
      source: "balancer:door-0",
      drift: [{ name: "members", desired: ["worker-0", "worker-1"], observed: ["worker-0"] }],
    });
    // A look at the endpoint says nothing of members.
    await sampleEndpoints(installation.platform, loop());
    expect(await stateOf(name), verb).toBe("degraded");
    expect(await reconcile(name, repairer), verb).toBe("succeeded");
    await look();
    expect(await stateOf(name), verb).toBe("active");
  }
  expect(await repairs(name)).toHaveLength(2);
  expect(await problems(name)).toEqual([]);
});

test("an endpoint whose daemon restarts is not a reason to repair what runs on", async () => {
  const name = "steadfast";
  await deployed(name);
  const before = (await installation.simDump()).endpoints["a"]!.machines.length;
  await installation.sim.daemonRestart("a", 500);
  await look();
  expect(await stateOf(name)).toBe("active");
  await expect.poll(() => look().then(() => stateOf(name)), { timeout: 10_000 }).toBe("active");
  expect(await repairs(name)).toEqual([]);
  expect((await installation.simDump()).endpoints["a"]!.machines).toHaveLength(before);
});

test("the runaway: a create that fails after the machine exists, for ever, stops at its bound and never makes a second one", async () => {
  const name = "runaway";
  const machines = await deployed(name);
  const { external_name } = machines["edge-0"]!;
  const count = async () => (await installation.simDump()).endpoints["a"]!.machines.length;
  const before = await count();
  await installation.sim.machineVanish("a", external_name);
  await installation.sim.faultAdd({ operation: "machineEnsure", name: external_name, failAfter: "endpoint_refused", forever: true });
  await look();
  const repairer = new RepairReconciler(installation.platform);
  for (let attempt = 0; attempt < repairBound.breaker.failures; attempt++) {
    expect(await reconcile(name, repairer)).toBe("failed");
    await look();
    expect(await count()).toBeLessThanOrEqual(before);
  }
  for (let round = 0; round < 3; round++) {
    expect(await reconcile(name, repairer)).toBe("nothing");
    // Neither does another leader, who remembers nothing, try or say it again.
    expect(await reconcile(name, new RepairReconciler(installation.platform))).toBe("nothing");
  }
  const refused = await events(name, "repair.refused");
  expect(refused).toHaveLength(1);
  expect(refused[0]!.data).toEqual({
    refusals: [
      {
        constraint: expect.stringContaining("the breaker opened after 3 failures in a row"),
        source: "bound of the repair reconciler",
        nearest: expect.stringMatching(/^repair the cause, or wait until /),
      },
    ],
  });
  // Half open: one attempt; it fails and the breaker stays open.
  const later = repairBound.breaker.openMs + 60_000;
  expect(await reconcile(name, repairer, later)).toBe("failed");
  expect(await reconcile(name, new RepairReconciler(installation.platform))).toBe("nothing");
  expect(await count()).toBe(before);
  await installation.sim.faultClear();
  expect(await reconcile(name, repairer, 2 * later)).toBe("succeeded");
  await look();
  expect(await problems(name)).toEqual([]);
});

test("a policy without repairs for automation: said once with what a person may do, and nothing is touched", async () => {
  const name = "forbidden";
  const machines = await deployed(name);
  await installation.sim.machineKill("a", machines["edge-0"]!.external_name);
  await look();
  const policies = (await policyList(installation.platform.database)).filter((policy) => policy.name !== "automation");
  const strict: Platform = { ...installation.platform, policy: new PolicyGate(policies) };
  const { changes } = await installation.simDump();
  for (let round = 0; round < 3; round++) {
    expect(await reconcile(name, new RepairReconciler(strict))).toBe("nothing");
  }
  expect((await installation.simDump()).changes).toBe(changes);
  const refused = await events(name, "repair.refused");
  expect(refused).toHaveLength(1);
  expect(refused[0]!.data).toMatchObject({
    refusals: [
      { constraint: expect.stringContaining("needs a permitting policy"), source: expect.any(String), nearest: expect.any(String) },
    ],
  });
  expect(await stateOf(name)).toBe("degraded");
  expect(await installation.waitFor(await installation.order("repair", { vapp: name }))).toBe("succeeded");
  expect(await problems(name)).toEqual([]);
});

test("what only a stop takes back is left running, said once, and done when a person orders it", async () => {
  const name = "stuck";
  const machines = await deployed(name);
  const { id, external_name } = machines["edge-0"]!;
  await installation.sim.machineChange("a", external_name, { memoryMiB: 77 });
  await look();
  await installation.sql(`update machine set drift = jsonb_set(drift, '{0,stuck}', 'true') where id = $1`, [id]);
  const boot = async () => (await installation.simDump()).endpoints["a"]!.machines.find((one) => one.name === external_name)!.boots;
  const before = await boot();
  for (let round = 0; round < 3; round++) {
    expect(await reconcile(name, new RepairReconciler(installation.platform))).toBe("nothing");
    await look();
  }
  expect(await boot()).toBe(before);
  const refused = await events(name, "repair.refused");
  expect(refused.map(({ data }) => data)).toEqual([
    {
      refusals: [
        {
          constraint: "is down for at most 0 s, but would be for 30 s",
          source: "bound of the repair reconciler",
          nearest: `repair it by hand: strat vapp repair ${name}`,
        },
      ],
    },
  ]);
  const plan = await installation.plan("repair", { vapp: name });
  expect(plan.downtimeSeconds).toBeGreaterThan(0);
  expect(await installation.waitFor(await installation.order("repair", { vapp: name }))).toBe("succeeded");
  expect(await boot()).not.toBe(before);
  expect(await problems(name)).toEqual([]);
});

test("a machine made anew has lost its snapshots: the vApp's say so, and reverting to them is refused", async () => {
  const name = "forgetful";
  const machines = await deployed(name);
  expect(await installation.waitFor(await installation.order("snapshot", { vapp: name, input: { name: "monday" } }))).toBe("succeeded");
  await installation.sim.machineVanish("a", machines["node-0"]!.external_name);
  await look();
  expect(await reconcile(name, new RepairReconciler(installation.platform))).toBe("succeeded");
  await look();
  expect(await problems(name)).toEqual([]);
  expect((await events(name, "snapshot.incomplete")).map(({ data }) => data)).toEqual([
    expect.objectContaining({ snapshot: "monday", machine: "node-0" }),
  ]);
  await expect(installation.plan("revert", { vapp: name, input: { snapshot: "monday" } })).rejects.toMatchObject({
    code: "conflict",
    detail: [
      { constraint: expect.stringContaining("node-0 is not in it: made anew"), source: expect.any(String), nearest: expect.any(String) },
    ],
  });
  expect(await installation.waitFor(await installation.order("snapshot", { vapp: name, input: { name: "tuesday" } }))).toBe("succeeded");
  expect(await installation.waitFor(await installation.order("revert", { vapp: name, input: { snapshot: "tuesday" } }))).toBe("succeeded");
  expect(await problems(name)).toEqual([]);
});
