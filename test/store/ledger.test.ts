import { afterAll, beforeAll, expect, it } from "vitest";
import { defaultRateCard } from "#domain/rate-card.ts";
import { exactTotal, rate, type LedgerEntry, type LedgerSize, type LedgerState } from "#domain/rating.ts";
import { machineLedger } from "#app/charge.ts";
import { databaseNow, ledgerAppend, ledgerOf } from "#store/ledger.ts";
import { machineByName, vappById } from "#store/vapp.ts";
import type { TestPostgres } from "../support/postgres.ts";
import { makeRows, startStorePostgres, type Rows } from "../support/rows.ts";

let postgres: TestPostgres;
let rows: Rows;
beforeAll(async () => {
  postgres = await startStorePostgres();
  rows = await makeRows(postgres);
});
afterAll(() => postgres.close());

async function subject() {
  const { id } = await rows.vapp(1);
  const vapp = (await vappById(rows.database, id))!;
  const machine = (await machineByName(rows.database, id, "node-0"))!;
  const append = (state: LedgerState) =>
    rows.database.transaction().execute((tx) => ledgerAppend(tx, machineLedger(vapp, machine, state, "test")));
  const entries = async () =>
    (await ledgerOf(rows.database, { organizationId: rows.organizationId, vappId: id })).map(({ seq, state }) => [seq, state]);
  return { id, append, entries };
}

it("the same state twice is one entry, also when two report it at once", async () => {
  const { append, entries } = await subject();
  expect((await Promise.all([append("running"), append("running"), append("running")])).filter(Boolean)).toHaveLength(1);
  await append("stopped");
  await append("stopped");
  expect((await entries()).map(([, state]) => state)).toEqual(["running", "stopped"]);
});

it("what never ran has nothing to end", async () => {
  const { append, entries } = await subject();
  await append("stopped");
  await append("released");
  expect(await entries()).toEqual([]);
});

it("every millisecond between first and last entry is charged exactly once", async () => {
  const { id, append } = await subject();
  for (const state of ["running", "stopped", "running", "released"] as const) await append(state);
  const ledger = await ledgerOf(rows.database, { organizationId: rows.organizationId, vappId: id });
  const entries = ledger.map((row): LedgerEntry => ({
    resource: row.resource_id,
    seq: row.seq,
    effectiveAt: row.effective_at.getTime(),
    size: row.size as unknown as LedgerSize,
    state: row.state as LedgerState,
  }));
  const from = entries[0]!.effectiveAt;
  const to = (await databaseNow(rows.database)).getTime() + 1_000;
  const lines = rate({ entries, card: defaultRateCard, from, to });
  const middle = Math.floor((from + to) / 2);
  const halves = [
    rate({ entries, card: defaultRateCard, from, to: middle }),
    rate({ entries, card: defaultRateCard, from: middle, to }),
  ].flat();
  expect(exactTotal(halves)).toBe(exactTotal(lines));
  const storage = lines.filter(({ meter }) => meter === "storage.gib.hour");
  expect(storage.reduce((sum, line) => sum + line.to - line.from, 0)).toBe(entries.at(-1)!.effectiveAt - from);
});

it("the balance of a quota never leaves its bounds, whoever asks", async () => {
  const set = (used: number) =>
    rows.database
      .updateTable("quota_balance")
      .set({ used })
      .where("project_id", "=", rows.projectId)
      .where("dimension", "=", "machines")
      .execute();
  await expect(set(-1)).rejects.toMatchObject({ code: "23514" });
  await expect(set(501)).rejects.toMatchObject({ code: "23514" });
});
