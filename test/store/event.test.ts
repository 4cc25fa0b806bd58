import { randomUUID } from "node:crypto";
import { afterAll, beforeAll, expect, it } from "vitest";
import { eventInsert, eventList, eventSequence } from "#store/event.ts";
import type { Tx } from "#store/database.ts";
import type { TestPostgres } from "../support/postgres.ts";
import { makeRows, startStorePostgres, type Rows } from "../support/rows.ts";

let postgres: TestPostgres;
let rows: Rows;
beforeAll(async () => {
  postgres = await startStorePostgres();
  rows = await makeRows(postgres);
});
afterAll(() => postgres.close());

const insert = (tx: Tx, vappId: string, type: string) =>
  eventInsert(tx, { id: randomUUID(), organizationId: rows.organizationId, vappId, type, subject: "s", data: {} });

it("a reader that resumes by position misses none, although transactions commit out of order", async () => {
  const [slow, fast] = [await rows.vapp(0), await rows.vapp(0)];
  const seen: string[] = [];
  let position = 0;
  const read = async () => {
    await eventSequence(rows.database);
    for (const event of await eventList(rows.database, { organizationId: rows.organizationId, after: position, limit: 100 })) {
      seen.push(event.type);
      position = event.position!;
    }
  };
  let release: () => void = () => {};
  const held = new Promise<void>((resolve) => (release = resolve));
  let inserted: () => void = () => {};
  const ready = new Promise<void>((resolve) => (inserted = resolve));
  const open = rows.database.transaction().execute(async (tx) => {
    await insert(tx, slow.id, "slow");
    inserted();
    await held;
  });
  await ready;
  await rows.database.transaction().execute((tx) => insert(tx, fast.id, "fast"));
  await read();
  expect(seen).toEqual(["fast"]);
  release();
  await open;
  await read();
  expect(seen).toEqual(["fast", "slow"]);
});

it("many writers and several sequencers at once: every event one position, each vApp in the order of its seq", async () => {
  const vapps = await Promise.all(Array.from({ length: 5 }, () => rows.vapp(0)));
  const before = await eventList(rows.database, { organizationId: rows.organizationId, after: 0, limit: 500 });
  const writing = vapps.flatMap(({ id }) =>
    Array.from({ length: 10 }, (_, n) => rows.database.transaction().execute((tx) => insert(tx, id, `n${n}`))),
  );
  const sequencing = Array.from({ length: 6 }, () => eventSequence(rows.database));
  await Promise.all([...writing, ...sequencing]);
  await eventSequence(rows.database);
  const events = (await eventList(rows.database, { organizationId: rows.organizationId, after: 0, limit: 500 })).slice(before.length);
  expect(events).toHaveLength(50);
  expect(events.map(({ position }) => position)).toEqual(Array.from({ length: 50 }, (_, i) => before.length + i + 1));
  for (const { id } of vapps) {
    expect(events.filter(({ vapp_id }) => vapp_id === id).map(({ seq }) => seq)).toEqual(Array.from({ length: 10 }, (_, i) => i + 1));
  }
});
