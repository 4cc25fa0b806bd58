/** The verdict on the world is only worth something if it sees what is wrong: each planted wrong must be named, and undone it is clean. */
import { afterAll, beforeAll, expect, test } from "vitest";
import type { SimMachine } from "#providers/sim/world.ts";
import type { SimDump } from "#providers/sim/control.ts";
import { startInstallation, type Installation } from "../support/installation.ts";
import { sqlOf, type Sql } from "../support/sql.ts";
import { seenInSim, worldProblems } from "../support/world-verdict.ts";

let installation: Installation;
const expected = { living: "running", dead: "gone" } as const;

beforeAll(async () => {
  installation = await startInstallation();
  for (const name of Object.keys(expected)) {
    expect(await installation.waitFor(await installation.order("deploy", { input: { offering: "tiny", name } }))).toBe("succeeded");
  }
  expect(await installation.waitFor(await installation.order("purge", { vapp: "dead" }))).toBe("succeeded");
});
afterAll(() => installation.close());

async function judge(sql: Sql, dump: SimDump): Promise<string[]> {
  return worldProblems(sql, seenInSim(dump), expected);
}

test("the world as it is has no problems", async () => {
  expect(await judge(installation.sql, await installation.simDump())).toEqual([]);
});

const machine = `(select m.id from machine m join vapp v on v.id = m.vapp_id where v.name = 'living' and m.name = 'node-0')`;
const deadMachine = `(select m.id from machine m join vapp v on v.id = m.vapp_id where v.name = 'dead' and m.name = 'node-0')`;
const living = `(select id from vapp where name = 'living')`;

test.each([
  ["its lock is still held", `update vapp set run_id = gen_random_uuid() where name = 'living'`],
  ["it should be running", `update vapp set state = 'degraded' where name = 'living'`],
  ["its row is released", `update machine set released_at = now() where id = ${machine}`],
  ["is not where and what its row says", `update machine set external_name = 'other' where id = ${machine}`],
  ["is known as stopped and is running", `update machine set state = 'stopped' where id = ${machine}`],
  ["the ledger's last entry", `delete from ledger where resource_id = ${machine}`],
  ["the ledger's last entry", `delete from ledger where resource_id = ${deadMachine} and state = 'released'`],
  ["has NICs", `delete from address where machine_id = ${machine}`],
  ["has volumes", `update machine set spec = jsonb_set(spec, '{volumes}', '[{"name":"data","sizeMiB":16}]') where id = ${machine}`],
  ["has size", `update machine set spec = jsonb_set(spec, '{memoryMiB}', '1') where id = ${machine}`],
  ["still waits for another size", `update machine set wanted = spec where id = ${machine}`],
  ["still remembers what was before one", `update vapp set before = '{}' where name = 'living'`],
  [
    "has snapshots , not strat-planted",
    `insert into snapshot (id, organization_id, vapp_id, name, external_name, machines, state, taken_at)
     select gen_random_uuid(), organization_id, id, 'planted', 'strat-planted', '["node-0"]', 'realised', now() from vapp where name = 'living'`,
  ],
  [
    "a snapshot was never taken",
    `insert into snapshot (id, organization_id, vapp_id, name, external_name, machines, state)
     select gen_random_uuid(), organization_id, id, 'planted', 'strat-planted', '[]', 'planned' from vapp where name = 'living'`,
  ],
  ["is at port", `update exposure set port = 1 where vapp_id = ${living}`],
  ["has living rows", `update machine set released_at = null where id = ${deadMachine}`],
  [
    "its secrets are still there",
    `insert into secret (id, organization_id, vapp_id, name, ciphertext) select gen_random_uuid(), organization_id, id, 's', '\\x00' from vapp where name = 'dead'`,
  ],
  ["quota: ", `update quota_balance set used = used + 1 where dimension = 'vcpus'`],
  ["a run has ended and its order has not", `update "order" set finished_at = null`],
  ["events have gaps", `delete from event where vapp_id = ${living} and seq = 2`],
  [
    "a machine that is gone still has facts",
    `insert into fact (subject_id, layer, name, value, source, observed_at) select ${deadMachine}, 'processing', 'power', '1', 's', now()`,
  ],
  [
    "an order was accepted while another one",
    `update event set type = 'order.accepted', data = '{"action":"stop"}' where vapp_id = ${living} and seq = 2`,
  ],
])("in the tables: %s", async (says, plant) => {
  const dump = await installation.simDump();
  const rollback = new Error("rollback");
  const problems: string[] = [];
  const planted = installation.platform.database.transaction().execute(async (tx) => {
    const sql = sqlOf(tx);
    await sql(plant);
    problems.push(...(await judge(sql, dump)));
    throw rollback;
  });
  await expect(planted).rejects.toBe(rollback);
  expect(problems.join("\n")).toContain(says);
});

const stranger = "00000000-0000-7000-8000-000000000000";

test.each<[string, (machines: SimMachine[]) => SimMachine[]]>([
  ["is running and not there", (machines) => machines.slice(1)],
  ["is known as running and is crashed", ([first, ...rest]) => [{ ...first!, power: "crashed" }, ...rest]],
  ["runs without its configuration", ([first, ...rest]) => [{ ...first!, contextDigest: null }, ...rest]],
  ["has size", ([first, ...rest]) => [{ ...first!, memoryMiB: first!.memoryMiB + 1 }, ...rest]],
  ["has volumes", ([first, ...rest]) => [{ ...first!, volumes: [{ name: "left", sizeMiB: 16, files: {} }] }, ...rest]],
  ["has snapshots", ([first, ...rest]) => [{ ...first!, snapshots: [{ name: "left", createdAt: "", files: {}, volumes: [] }] }, ...rest]],
  ["is there twice", (machines) => [...machines, { ...machines[0]!, name: "copy" }]],
  ["the mark of another installation", ([first, ...rest]) => [{ ...first!, owner: { ...first!.owner!, installation: stranger } }, ...rest]],
  ["carries our mark and no row knows it", ([first, ...rest]) => [{ ...first!, owner: { ...first!.owner!, object: stranger } }, ...rest]],
])("at the site: %s", async (says, change) => {
  const dump = await installation.simDump();
  const { machines, images } = dump.endpoints["a"]!;
  const planted = { ...dump, endpoints: { a: { images, machines: change([...machines]) } } };
  expect((await judge(installation.sql, planted)).join("\n")).toContain(says);
});
