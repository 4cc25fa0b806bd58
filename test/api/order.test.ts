/** An order over HTTP, from the plan to the machines and back to nothing; and what a repeated request does. */
import { randomUUID } from "node:crypto";
import { afterAll, beforeAll, expect, test } from "vitest";
import { ask, type Schemas } from "#sdk/client.ts";
import { deployment, startTestControlPlane, type TestControlPlane } from "../support/control-plane.ts";

let plane: TestControlPlane;
beforeAll(async () => (plane = await startTestControlPlane()));
afterAll(() => plane.close());

const orderCount = async () => (await plane.sql<{ n: number }>(`select count(*)::int as n from "order"`))[0]!.n;

test("a plan is ordered by its hash, and the vApp is really there, answers, costs, and goes", async () => {
  const plan = await ask(plane.client.POST("/v1/plans", { body: { action: "deploy", input: { offering: "tiny", name: "whole" } } }));
  expect(plan.steps.length).toBeGreaterThan(5);
  const placed = await ask(plane.client.POST("/v1/orders", { body: { plan: plan.id, hash: plan.hash } }));
  expect(placed).toMatchObject({ plan: plan.id, action: "deploy", state: "running", vappName: "whole" });
  expect(await plane.waitFor(placed)).toMatchObject({ state: "succeeded" });

  const vapp = await ask(plane.client.GET("/v1/vapps/{vapp}", { params: { path: { vapp: "whole" } } }));
  expect(vapp).toMatchObject({ id: placed.vapp, state: "active", offering: "tiny@1.0.0", site: "sim", run: null });
  const there = (await plane.simDump()).endpoints["a"]!.machines.map(({ name }) => name).toSorted();
  expect(vapp.machines.map(({ externalName }) => externalName).toSorted()).toEqual(there);
  for (const machine of vapp.machines) expect(machine.facts.map(({ name }) => name)).toContain("power");
  expect(vapp.exposures[0]!.url).toMatch(/^http:/);

  const run = await ask(plane.client.GET("/v1/runs/{run}", { params: { path: { run: placed.run } } }));
  expect(run.steps.map(({ id }) => id).toSorted()).toEqual(plan.steps.map(({ id }) => id).toSorted());
  expect(new Set(run.steps.map(({ state }) => state))).toEqual(new Set(["ok"]));

  const gone = await plane.waitFor(await ask(plane.client.POST("/v1/orders", { body: { action: "purge", vapp: "whole" } })));
  expect(gone.state).toBe("succeeded");
  expect((await plane.simDump()).endpoints["a"]!.machines).toEqual([]);
  const bill = await ask(plane.client.GET("/v1/vapps/{vapp}/bill", { params: { path: { vapp: placed.vapp } } }));
  expect([...new Set(bill.lines.map(({ name }) => name))].toSorted()).toEqual(["whole/edge-0", "whole/edge-0-80", "whole/node-0"]);
});

test("a plan with another hash, and one that is gone, are refused", async () => {
  const plan = await ask(plane.client.POST("/v1/plans", { body: { action: "deploy", input: { offering: "tiny", name: "hashed" } } }));
  const wrong = await plane.request("POST", "/v1/orders", { body: { plan: plan.id, hash: "0".repeat(64) } });
  expect(wrong.json()).toMatchObject({ status: 409, code: "conflict", refusals: [{ nearest: `use ${plan.hash}` }] });
  await plane.sql("update plan set expires_at = now() - interval '1 second'");
  const late = await plane.request("POST", "/v1/orders", { body: { plan: plan.id, hash: plan.hash } });
  expect(late.json()).toMatchObject({ status: 409, code: "conflict" });
});

test("a bound that is broken refuses the order and names it", async () => {
  const refused = await plane.request("POST", "/v1/orders", { body: { ...deployment("dear"), bounds: { maxCostPerMonth: "0.01" } } });
  const problem = refused.json<Schemas["Problem"]>();
  expect(problem).toMatchObject({ status: 409, code: "bound_broken" });
  expect(problem.refusals[0]!.nearest).toMatch(/raise maxCostPerMonth to \d/);
  expect((await plane.request("GET", "/v1/vapps/dear")).status).toBe(404);
});

test("the same key and body are carried out once and answered the same, in turn and side by side", async () => {
  const before = await orderCount();
  const key = { "idempotency-key": randomUUID() };
  const body = deployment("once");
  const answers = await Promise.all([1, 2, 3].map(() => plane.request("POST", "/v1/orders", { body, headers: key })));
  answers.push(await plane.request("POST", "/v1/orders", { body, headers: key }));
  expect(answers.map(({ status }) => status)).toEqual([201, 201, 201, 201]);
  expect(new Set(answers.map(({ text }) => text)).size).toBe(1);
  expect(new Set(answers.map(({ headers }) => headers.get("location"))).size).toBe(1);
  expect(await orderCount()).toBe(before + 1);
  const order = answers[0]!.json<Schemas["Order"]>();
  await plane.waitFor(order);

  const other = await plane.request("POST", "/v1/orders", { body: deployment("other"), headers: key });
  expect(other.json()).toMatchObject({ status: 422, code: "idempotency_mismatch" });
  // Another principal's key of the same name is another key.
  const member = await plane.principal("key-member", "member");
  const theirs = await plane.request("POST", "/v1/plans", { body: { action: "purge", vapp: "once" }, headers: key, token: member });
  expect(theirs.status).toBe(201);
});

test("a refusal is kept for its key, too", async () => {
  const headers = { "idempotency-key": randomUUID() };
  const body = { action: "deploy", input: { offering: "tiny", name: "Not A Name" } };
  const first = await plane.request("POST", "/v1/orders", { body, headers });
  const second = await plane.request("POST", "/v1/orders", { body, headers });
  expect(first.status).toBe(400);
  expect(second.text).toBe(first.text);
});

test("a key whose process died before its change is taken over; after it, the order that was placed is found", async () => {
  const admin = (await plane.sql<{ id: string }>("select id from principal where name = 'admin'"))[0]!.id;
  const headers = { "idempotency-key": randomUUID() };
  const body = deployment("crashed");
  const first = await plane.request("POST", "/v1/orders", { body, headers });
  const order = first.json<Schemas["Order"]>();
  await plane.waitFor(order);
  // As the crash leaves it: the change is committed with the row's confirmation, the answer is not stored.
  const requestId = first.headers.get("x-request-id");
  await plane.sql(
    `update idempotency_key set status = null, created_at = now() - interval '1 minute',
     response = jsonb_build_object('attempt', $2::text, 'committedBy', $2::text) where principal_id = $1 and key = $3`,
    [admin, requestId, headers["idempotency-key"]],
  );
  const before = await orderCount();
  const again = await plane.request("POST", "/v1/orders", { body, headers });
  expect(again.status).toBe(201);
  expect(again.json<Schemas["Order"]>().id).toBe(order.id);
  expect(await orderCount()).toBe(before);

  // The other side of the crash: begun, nothing committed.
  const unborn = { "idempotency-key": randomUUID() };
  const probe = await plane.request("POST", "/v1/plans", { body: deployment("unborn"), headers: unborn });
  await plane.sql(
    `update idempotency_key set status = null, created_at = now() - interval '1 minute', response = jsonb_build_object('attempt', 'req_gone') where key = $1`,
    [unborn["idempotency-key"]],
  );
  const retried = await plane.request("POST", "/v1/plans", { body: deployment("unborn"), headers: unborn });
  expect([probe.status, retried.status]).toEqual([201, 201]);
});

test("an attempt that was taken over cannot commit any more", async () => {
  const headers = { "idempotency-key": randomUUID() };
  // The order's transaction waits for the lock this one holds, and meanwhile somebody takes the key over.
  const before = await orderCount();
  const slow = await plane.platform.database.transaction().execute(async (tx) => {
    await tx.selectFrom("quota_balance").selectAll().forUpdate().execute();
    const pending = plane.request("POST", "/v1/orders", { body: deployment("fenced"), headers });
    await expect.poll(() => plane.sql("select 1 from idempotency_key where key = $1", [headers["idempotency-key"]])).toHaveLength(1);
    await plane.sql(`update idempotency_key set response = jsonb_build_object('attempt', 'req_other') where key = $1`, [
      headers["idempotency-key"],
    ]);
    return { pending };
  });
  expect((await slow.pending).json()).toMatchObject({ status: 409, code: "conflict" });
  expect(await orderCount()).toBe(before);
  expect((await plane.request("GET", "/v1/vapps/fenced")).status).toBe(404);
});

test("a command is run once for its key, and its output is nowhere", async () => {
  await plane.deploy("shell");
  const headers = { "idempotency-key": randomUUID() };
  const body = { machine: "node-0", argv: ["/bin/echo", "said-by-a-guest"] };
  const first = await plane.request("POST", "/v1/vapps/shell/exec", { body, headers });
  expect(first.status).toBe(200);
  expect(first.json<Schemas["ExecResult"]>().exitCode).toBe(0);
  const second = await plane.request("POST", "/v1/vapps/shell/exec", { body, headers });
  expect(second.json()).toMatchObject({ status: 409, code: "conflict" });
  const rows = await plane.sql<{ row: string }>(
    "select k::text as row from idempotency_key k where response::text like '%said-by-a-guest%'",
  );
  expect(rows).toEqual([]);
  const missing = await plane.request("POST", "/v1/vapps/shell/exec", { body: { ...body, machine: "node-9" } });
  expect(missing.json()).toMatchObject({ status: 404, refusals: [{ nearest: expect.stringContaining("node-0") }] });
});

test("pages hold what they promise: every order once, newest first", async () => {
  const ids: string[] = [];
  let after: string | undefined;
  do {
    const page = await ask(plane.client.GET("/v1/orders", { params: { query: { limit: 2, ...(after === undefined ? {} : { after }) } } }));
    ids.push(...page.items.map(({ id }) => id));
    after = page.next ?? undefined;
  } while (after !== undefined);
  expect(ids).toEqual(ids.toSorted().toReversed());
  expect(new Set(ids).size).toBe(await orderCount());
});
