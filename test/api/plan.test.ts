/** I3: a plan leaves no trace. All tables but three, and the world of the endpoints, are the same before and after. */
import { afterAll, beforeAll, expect, test } from "vitest";
import { deployment, startTestControlPlane, type TestControlPlane } from "../support/control-plane.ts";

let plane: TestControlPlane;
beforeAll(async () => {
  plane = await startTestControlPlane();
  await plane.deploy("standing");
});
afterAll(() => plane.close());

/** Written by planning itself, or by any request. */
const mayChange = new Set(["plan", "idempotency_key", "request_log"]);
/** Signs of life of the process, and what samplers see anew every few seconds; they go on whether somebody plans or not. */
const alwaysMoving = new Set(["control_process", "leadership"]);
const observations: Readonly<Record<string, string>> = {
  endpoint: "to_jsonb(t) - 'checked_at' - 'description'",
  fact: "to_jsonb(t) - 'observed_at'",
  machine: "to_jsonb(t) - 'healthy_at' - 'state_at'",
  // The sealer chains audit rows a little later than they are written.
  audit: "to_jsonb(t) - 'sealed_seq' - 'hash'",
};

/** Content of every table, in any schema of ours, as one hash each. */
async function tables(): Promise<Record<string, string>> {
  const found = await plane.sql<{ schema: string; name: string }>(
    "select table_schema as schema, table_name as name from information_schema.tables where table_type = 'BASE TABLE' and table_schema not in ('pg_catalog', 'information_schema') order by 1, 2",
  );
  const contents: Record<string, string> = {};
  for (const { schema, name } of found) {
    if (schema === "public" && (mayChange.has(name) || alwaysMoving.has(name))) continue;
    const row = (schema === "public" ? observations[name] : undefined) ?? "to_jsonb(t)";
    const [hash] = await plane.sql<{ hash: string }>(
      `select coalesce(md5(string_agg(r, '' order by r)), '') as hash from (select (${row})::text as r from "${schema}"."${name}" t) rows`,
    );
    contents[`${schema}.${name}`] = hash!.hash;
  }
  return contents;
}

test("planning a deployment, a delete, a stop, and what is refused changes nothing", async () => {
  // Only once everything of the deployment has settled is a difference the plan's.
  await expect.poll(() => plane.sql("select 1 from event where position is null")).toEqual([]);
  // Every sampler has had its first look, so that none of them adds a row meanwhile.
  const unseen = `select id from (select id from segment where released_at is null union all select id from exposure where released_at is null) o
    where not exists (select 1 from fact f where f.subject_id = o.id)`;
  await expect.poll(() => plane.sql(unseen), { timeout: 30_000, interval: 200 }).toEqual([]);
  const before = { tables: await tables(), changes: (await plane.simDump()).changes };
  expect(Object.keys(before.tables).length).toBeGreaterThan(25);

  const plans = [
    deployment("planned"),
    { action: "deploy", input: { offering: "tiny", name: "wide", parameters: { nodes: 4 } } },
    { action: "purge", vapp: "standing" },
    { action: "stop", vapp: "standing" },
    { action: "repair", vapp: "standing" },
  ];
  for (const body of plans)
    expect(
      (await plane.request("POST", "/v1/plans", { body, headers: { "idempotency-key": `plan-${JSON.stringify(body)}`.slice(0, 200) } }))
        .status,
    ).toBe(201);
  for (const body of [
    { action: "deploy", input: { offering: "none" } },
    { action: "no-such-process" },
    { action: "purge", vapp: "none" },
  ]) {
    expect((await plane.request("POST", "/v1/plans", { body })).status).toBeGreaterThanOrEqual(400);
  }

  expect(await tables()).toEqual(before.tables);
  expect((await plane.simDump()).changes).toBe(before.changes);
  expect((await plane.sql<{ n: number }>("select count(*)::int as n from plan"))[0]!.n).toBeGreaterThanOrEqual(plans.length);
});

test("the comparison sees a change: an order of the same is one", async () => {
  const before = await tables();
  const order = await plane.deploy("seen");
  expect(order.state).toBe("succeeded");
  const after = await tables();
  const changed = Object.keys(before).filter((name) => before[name] !== after[name]);
  expect(changed).toEqual(
    expect.arrayContaining([
      "public.order",
      "public.vapp",
      "public.machine",
      "public.run",
      "public.event",
      "public.ledger",
      "public.audit",
    ]),
  );
});
