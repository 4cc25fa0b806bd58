import { afterAll, beforeAll, expect, it } from "vitest";
import { prefixContains, prefixesOverlap } from "#domain/cidr.ts";
import { addressEnsure, addressesRelease, prefixEnsure } from "#store/ipam.ts";
import type { TestPostgres } from "../support/postgres.ts";
import { makeRows, startStorePostgres, type Rows } from "../support/rows.ts";

let postgres: TestPostgres;
let rows: Rows;
beforeAll(async () => {
  postgres = await startStorePostgres();
  rows = await makeRows(postgres);
});
afterAll(() => postgres.close());

const pool = "10.64.0.0/12";

it("twenty segments asked for at once get twenty prefixes that do not overlap, and keep them", async () => {
  const vapps = await Promise.all(Array.from({ length: 20 }, () => rows.vapp(0)));
  const ensure = (segmentId: string) => rows.database.transaction().execute((tx) => prefixEnsure(tx, segmentId, pool));
  const got = await Promise.all(vapps.map(({ segmentId }) => ensure(segmentId)));
  for (const [i, one] of got.entries()) {
    expect(prefixContains(one.prefix, one.gateway)).toBe(true);
    for (const other of got.slice(i + 1)) expect(prefixesOverlap(one.prefix, other.prefix), `${one.prefix} ${other.prefix}`).toBe(false);
  }
  expect(await Promise.all(vapps.map(({ segmentId }) => ensure(segmentId)))).toEqual(got);
});

it("machines asked for at once get different addresses inside the prefix, and a repeated question the same one", async () => {
  const { segmentId, machineIds } = await rows.vapp(12);
  const { prefix, gateway } = await rows.database.transaction().execute((tx) => prefixEnsure(tx, segmentId, pool));
  const ensure = (machineId: string) => rows.database.transaction().execute((tx) => addressEnsure(tx, segmentId, machineId));
  const asked = await Promise.all([...machineIds, ...machineIds].map(ensure));
  const first = asked.slice(0, 12);
  expect(asked.slice(12)).toEqual(first);
  expect(new Set([gateway, ...first.map(({ address }) => address)]).size).toBe(13);
  expect(new Set(first.map(({ mac }) => mac)).size).toBe(12);
  for (const { address } of first) expect(prefixContains(prefix, address)).toBe(true);
});

it("a released address is given out again, with the MAC its neighbours remember", async () => {
  const { segmentId, machineIds } = await rows.vapp(2);
  const [one, two] = machineIds as [string, string];
  const got = await rows.database.transaction().execute(async (tx) => {
    await prefixEnsure(tx, segmentId, pool);
    const before = await addressEnsure(tx, segmentId, one);
    await addressesRelease(tx, one);
    return [before, await addressEnsure(tx, segmentId, two)];
  });
  expect(got[1]).toEqual(got[0]);
});
