/** What holds while vApps change: quota and bill are exact, what was deleted comes back as it was, and what cannot be is refused with a way out. */
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { PlanRequest } from "#domain/plan.ts";
import { defaultSizes, sizeNamed } from "#domain/size.ts";
import { showBill } from "#app/bill.ts";
import { purgeExpired } from "#app/reconcilers/purge.ts";
import { processes } from "../support/chaos-processes.ts";
import { startInstallation, type Installation } from "../support/installation.ts";
import { type Expected, quotaProblems, seenInSim, worldProblems } from "../support/world-verdict.ts";

let installation: Installation;
beforeAll(async () => {
  installation = await startInstallation({ processes });
});
afterAll(() => installation.close());

async function run(action: string, vapp: string, input: PlanRequest["input"] = {}): Promise<string> {
  return installation.waitFor(await installation.order(action, { vapp, input }));
}

async function deployed(name: string, parameters: PlanRequest["input"] = {}): Promise<void> {
  expect(await installation.waitFor(await installation.order("deploy", { input: { offering: "solo", name, parameters } }))).toBe(
    "succeeded",
  );
}

async function judge(expected: Readonly<Record<string, Expected>>): Promise<string[]> {
  return worldProblems(installation.sql, seenInSim(await installation.simDump()), expected);
}

async function machineNamed(vapp: string, name: string): Promise<{ id: string; external_name: string }> {
  const [row] = await installation.sql<{ id: string; external_name: string }>(
    `select m.id, m.external_name from machine m join vapp v on v.id = m.vapp_id where v.name = $1 and m.name = $2 and m.released_at is null`,
    [vapp, name],
  );
  return row!;
}

test("quota is what lives, at every moment of runs that succeed, undo themselves and fail (I1)", async () => {
  await deployed("counted", { nodes: 1, doors: 1 });
  const samples: string[][] = [];
  let sampling = true;
  const sampler = (async () => {
    while (sampling) samples.push(await quotaProblems(installation.sql));
  })();
  try {
    expect(await run("scale", "counted", { tier: "node", count: 3 })).toBe("succeeded");
    expect(await run("scale-undone", "counted", { tier: "node", count: 4 })).toBe("compensated");
    expect(await run("resize", "counted", { tier: "node", size: "tiny" })).toBe("succeeded");
    expect(await run("resize-undone", "counted", { tier: "node", size: "small" })).toBe("compensated");
    expect(await run("resize-stopped-undone", "counted", { tier: "node", size: "nano" })).toBe("compensated");
    const { external_name: name } = await machineNamed("counted", "node-2");
    await installation.sim.faultAdd({ operation: "machineRemove", name, fail: "endpoint_refused", forever: true });
    expect(await run("scale", "counted", { tier: "node", count: 1 })).toBe("failed");
    await installation.sim.faultClear();
    expect(await run("scale", "counted", { tier: "node", count: 1 })).toBe("succeeded");
  } finally {
    sampling = false;
    await sampler;
  }
  expect(samples.length).toBeGreaterThan(20);
  expect(samples.flat()).toEqual([]);
  const [sum] = await installation.sql<{ vcpus: string }>(`select sum(vcpus)::text as vcpus from machine where released_at is null`);
  const { vcpus } = sizeNamed("tiny", defaultSizes, "test");
  expect(Number(sum!.vcpus)).toBe(vcpus + sizeNamed("nano", defaultSizes, "test").vcpus);
  expect(await judge({ counted: "running" })).toEqual([]);
});

test("a resized machine is charged at its true size before and after (I2)", async () => {
  await deployed("charged");
  expect(await run("resize", "charged", { tier: "node", size: "small" })).toBe("succeeded");
  const { id } = await machineNamed("charged", "node-0");
  const entries = await installation.sql<{ state: string; memory: number; at: Date }>(
    `select state, (size->>'memoryMiB')::int as memory, effective_at as at from ledger where resource_id = $1 order by seq`,
    [id],
  );
  const [nano, small] = ["nano", "small"].map((size) => sizeNamed(size, defaultSizes, "test").memoryMiB);
  expect(entries.map(({ state, memory }) => [state, memory])).toEqual([
    ["running", nano],
    ["running", small],
  ]);
  const to = new Date(entries[1]!.at.getTime() + 3_600_000);
  const bill = await showBill(installation.ctx, { vapp: "charged", from: entries[0]!.at.toISOString(), to: to.toISOString() });
  const lines = bill.lines.filter(({ resource, meter }) => resource === id && /memory/i.test(meter));
  expect(lines.map(({ from, to: until }) => [from, until])).toEqual([
    [entries[0]!.at.toISOString(), entries[1]!.at.toISOString()],
    [entries[1]!.at.toISOString(), to.toISOString()],
  ]);
  expect(lines.map(({ quantity }) => Number(quantity) * 1024)).toEqual([nano, small]);
});

/** What must be the same after a vApp was away. */
function identity(vapp: string): Promise<unknown[]> {
  return installation.sql(
    `select 'address' as what, m.name, a.address::text as value, a.mac::text as more from address a join machine m on m.id = a.machine_id join vapp v on v.id = m.vapp_id where v.name = $1
     union all select 'exposure', x.name, x.port::text, x.id::text from exposure x join vapp v on v.id = x.vapp_id where v.name = $1 and x.released_at is null
     union all select 'secret', s.name, encode(s.ciphertext, 'hex'), s.id::text from secret s join vapp v on v.id = s.vapp_id where v.name = $1
     order by 1, 2, 3`,
    [vapp],
  );
}

test("what was deleted comes back with its addresses, ports and secrets; when its time is over it is purged", async () => {
  await deployed("away", { doors: 1 });
  const before = await identity("away");
  expect(new Set(before.map((row) => (row as { what: string }).what))).toEqual(new Set(["address", "exposure", "secret"]));
  expect(await run("delete", "away", { undoHours: 1, graceSeconds: 0 })).toBe("succeeded");
  await deployed("newcomer", { doors: 1 });
  expect(await run("restore", "away")).toBe("succeeded");
  expect(await identity("away")).toEqual(before);
  await purgeExpired(installation.platform, installation.ctx);
  expect(await judge({ away: "running" })).toEqual([]);

  expect(await run("delete", "away", { undoHours: 1, graceSeconds: 0 })).toBe("succeeded");
  await purgeExpired(installation.platform, installation.ctx);
  expect(await judge({ away: "stopped" })).toEqual([]);
  await installation.sql(`update vapp set delete_at = now() - interval '1 second' where name = 'away'`);
  await purgeExpired(installation.platform, installation.ctx);
  const [purge] = await installation.sql<{ id: string; principal: string }>(
    `select o.id, p.name as principal from "order" o join principal p on p.id = o.principal_id join vapp v on v.id = o.vapp_id
     where v.name = 'away' and o.action = 'purge'`,
  );
  expect(purge?.principal).toBe("reconciler");
  await expect.poll(async () => judge({ away: "gone" }), { timeout: 20_000 }).toEqual([]);
});

test("a purge pre-empts a delete in flight", async () => {
  await deployed("hurried");
  await installation.sim.faultAdd({ operation: "machineStop", delayMs: 1_500 });
  const slow = await installation.order("delete", { vapp: "hurried", input: { undoHours: 1, graceSeconds: 0 } });
  const purge = await installation.order("purge", { vapp: "hurried" });
  expect(await installation.waitFor(slow)).toBe("compensated");
  expect(await installation.waitFor(purge)).toBe("succeeded");
  await installation.sim.faultClear();
  expect(await judge({ hurried: "gone" })).toEqual([]);
});

describe("refusals say what stands against it, who says so, and the nearest that goes", () => {
  beforeAll(async () => {
    await deployed("fixed", { nodes: 2, doors: 1 });
    expect(await run("snapshot", "fixed", { name: "kept" })).toBe("succeeded");
    expect(await run("scale", "fixed", { tier: "node", count: 3 })).toBe("succeeded");
  });

  test.each([
    { what: "more than the tier's scale", action: "scale", input: { tier: "node", count: 9 }, code: "invalid_input", nearest: "use 4" },
    { what: "less than the tier's scale", action: "scale", input: { tier: "node", count: 0 }, code: "invalid_input", nearest: "use 1" },
    { what: "a tier without scale", action: "scale", input: { tier: "door", count: 2 }, code: "conflict", nearest: "declares `scale`" },
    { what: "an unknown tier", action: "scale", input: { tier: "nod", count: 2 }, code: "conflict", nearest: "node" },
    { what: "an unknown snapshot", action: "revert", input: { snapshot: "kep" }, code: "conflict", nearest: "kept" },
    { what: "a snapshot of other machines", action: "revert", input: { snapshot: "kept" }, code: "conflict", nearest: "scale the vApp" },
    {
      what: "a volume that would shrink",
      action: "volume-grow",
      input: { tier: "node", volume: "data", size: "512 MiB" },
      code: "conflict",
      nearest: "use at least 1024 MiB",
    },
    {
      what: "a parameter out of its range",
      action: "reconfigure",
      input: { parameters: { lead: 7 } },
      code: "invalid_input",
      nearest: "3",
    },
    { what: "an unknown parameter", action: "reconfigure", input: { parameters: { lea: 1 } }, code: "invalid_input", nearest: "lead" },
  ])("$what", async ({ action, input, code, nearest }) => {
    const order = installation.order(action, { vapp: "fixed", input: input as PlanRequest["input"] });
    const error = (await order.catch((caught: unknown) => caught)) as {
      code: string;
      detail: { constraint: string; source: string; nearest: string }[];
    };
    expect(error).toMatchObject({ code });
    expect(error.detail.map((refusal) => refusal.nearest).join()).toContain(nearest);
    for (const refusal of error.detail) for (const part of [refusal.constraint, refusal.source]) expect(part).toMatch(/\S/);
    expect(await judge({ fixed: "running" })).toEqual([]);
  });

  test("the same count changes nothing", async () => {
    const { steps } = await installation.plan("scale", { vapp: "fixed", input: { tier: "node", count: 3 } });
    expect(steps).toEqual([]);
  });

  test("while another order changes it", async () => {
    await installation.sim.faultAdd({ operation: "channelRun", delayMs: 1_000 });
    const first = await installation.order("scale", { vapp: "fixed", input: { tier: "node", count: 4 } });
    const refused = installation.order("scale", { vapp: "fixed", input: { tier: "node", count: 2 } });
    await expect(refused).rejects.toMatchObject({
      code: "conflict",
      detail: [{ constraint: "one order at a time changes a vApp", nearest: expect.stringContaining("wait for it") }],
    });
    expect(await installation.waitFor(first)).toBe("succeeded");
    await installation.sim.faultClear();
  });
});

test("an image that would change is not a configuration", async () => {
  await deployed("pictured");
  // The blueprint remembers another image than its offering makes now.
  await installation.sql(`update vapp set blueprint = jsonb_set(blueprint, '{machines,0,image}', '"tiny-node"') where name = 'pictured'`);
  await expect(installation.order("reconfigure", { vapp: "pictured", input: { parameters: { lead: 1 } } })).rejects.toMatchObject({
    code: "conflict",
    detail: [{ source: "process reconfigure", nearest: expect.stringContaining("deploy anew for images") }],
  });
  await installation.sql(`update vapp set blueprint = jsonb_set(blueprint, '{machines,0,image}', '"tiny-edge"') where name = 'pictured'`);
});
