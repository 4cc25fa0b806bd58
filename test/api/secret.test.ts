/**
 * Secrets are nowhere in clear: a vApp with a secret is ordered, the secret's value is read from inside the guest, and then searched for
 * everywhere the control plane writes: all tables, the database's own files, log, events, answers and errors, the endpoint's journal.
 */
import { readdirSync, readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { ask } from "#sdk/client.ts";
import { startTestControlPlane, type TestControlPlane } from "../support/control-plane.ts";

let plane: TestControlPlane;
let canary: string;
/** Texts of every answer the API gave, but the one that was asked for the secret. */
const answers: string[] = [];

async function get(path: string): Promise<void> {
  answers.push((await plane.request("GET", path)).text);
}

beforeAll(async () => {
  plane = await startTestControlPlane({ ownDatabase: true });
  const order = await plane.deploy("keeper");
  const body = { machine: "node-0", argv: ["/bin/cat", "/run/stratiform/context.json"] };
  const context = await ask(plane.client.POST("/v1/vapps/{vapp}/exec", { params: { path: { vapp: "keeper" } }, body }));
  canary = (JSON.parse(context.stdout) as { config: { token: string } }).config.token;
  // A guest whose hook fails and says why, while it holds the secret: its words come back through errors.
  const broken = await ask(plane.client.POST("/v1/orders", { body: { action: "stop", vapp: "keeper" } }));
  await plane.waitFor(broken);
  await plane.waitFor(await ask(plane.client.POST("/v1/orders", { body: { action: "start", vapp: "keeper" } })));
  for (const path of [
    "/v1/vapps/keeper",
    `/v1/orders/${order.id}`,
    `/v1/plans/${order.plan}`,
    `/v1/runs/${order.run}`,
    "/v1/events?limit=500",
  ])
    await get(path);
  for (const path of ["/v1/audit?limit=500", "/v1/machines", "/v1/bill", "/v1/offerings", "/v1/sites", "/v1/endpoints", "/v1/vapps/nobody"])
    await get(path);
});
afterAll(() => plane.close());

/** All files below `folder`, as bytes. */
function* filesBelow(folder: string): Generator<{ path: string; content: Buffer }> {
  for (const entry of readdirSync(folder, { withFileTypes: true })) {
    const path = join(folder, entry.name);
    if (entry.isDirectory()) yield* filesBelow(path);
    else if (entry.isFile() && statSync(path).size < 200 * 1024 * 1024) yield { path, content: readFileSync(path) };
  }
}

/** The value as it is, and as it would read in hex or base64 of its bytes. */
function disguises(value: string): string[] {
  const bytes = Buffer.from(value);
  return [value, bytes.toString("hex"), bytes.toString("base64").replaceAll("=", ""), bytes.toString("base64url")];
}

test("the canary is a secret worth searching for", () => {
  expect(canary).toMatch(/^[A-Za-z0-9_-]{40,}$/);
});

test("no table holds it, in no column", async () => {
  const tables = await plane.sql<{ schema: string; name: string }>(
    "select table_schema as schema, table_name as name from information_schema.tables where table_type = 'BASE TABLE' and table_schema not in ('pg_catalog', 'information_schema')",
  );
  expect(tables.length).toBeGreaterThan(25);
  for (const { schema, name } of tables) {
    for (const disguise of disguises(canary)) {
      const rows = await plane.sql(`select 1 from "${schema}"."${name}" t where t::text like '%' || $1 || '%'`, [disguise]);
      expect(rows, `${schema}.${name}`).toEqual([]);
    }
  }
  // The search works: the sealed secret is a row, and what is public about it is found.
  expect(await plane.sql("select 1 from secret t where t::text like '%token%'")).toHaveLength(1);
});

test("no file of the database holds it: neither tables nor write-ahead log", async () => {
  await plane.sql("checkpoint");
  const data = join(plane.home, "postgres", "data");
  const files = [...filesBelow(data)];
  expect(files.some(({ path }) => path.includes("/pg_wal/"))).toBe(true);
  const holding = (text: string) => files.filter(({ content }) => content.includes(text)).map(({ path }) => path.slice(data.length));
  for (const disguise of disguises(canary)) expect(holding(disguise)).toEqual([]);
  // What is in the tables in clear is found, in the log as well, so the search would have found a secret.
  expect(holding("keeper").some((path) => path.startsWith("/pg_wal/"))).toBe(true);
});

test("neither log, nor answers, nor the endpoint's journal hold it", () => {
  const journal = readFileSync(join(plane.home, "sim.journal"), "utf8");
  const places = { log: plane.logged.join("\n"), answers: answers.join("\n"), journal };
  for (const [name, text] of Object.entries(places)) {
    expect(text.length, name).toBeGreaterThan(100);
    for (const disguise of disguises(canary)) expect(text.includes(disguise), name).toBe(false);
  }
});

test("no other file of the installation holds it", () => {
  const holding = [...filesBelow(plane.home)].filter(({ content }) => disguises(canary).some((disguise) => content.includes(disguise)));
  expect(holding.map(({ path }) => path)).toEqual([]);
});
