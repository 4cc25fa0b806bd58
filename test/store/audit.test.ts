import { afterAll, beforeAll, expect, it } from "vitest";
import { auditHash, auditInsert, auditSeal } from "#store/audit.ts";
import type { TestPostgres } from "../support/postgres.ts";
import { makeRows, startStorePostgres, type Rows } from "../support/rows.ts";

let postgres: TestPostgres;
let rows: Rows;
beforeAll(async () => {
  postgres = await startStorePostgres();
  rows = await makeRows(postgres);
});
afterAll(() => postgres.close());

const record = (n: number) =>
  auditInsert(rows.database, {
    organizationId: rows.organizationId,
    principalId: null,
    action: "a",
    resource: "r",
    decision: "permit",
    reason: "",
    requestId: `q${n}`,
    data: { n },
  });

/** Walks the chain; the first place whose hash does not follow from the rows, or null. */
async function brokenAt(): Promise<number | null> {
  const sealed = await rows.database.selectFrom("audit").selectAll().where("sealed_seq", "is not", null).orderBy("sealed_seq").execute();
  let hash = "0".repeat(64);
  for (const [i, row] of sealed.entries()) {
    hash = auditHash(hash, i + 1, row);
    if (row.sealed_seq !== i + 1 || row.hash !== hash) return i + 1;
  }
  return null;
}

it("two sealers at once make one chain, later rows continue it, and a changed or removed row breaks it", async () => {
  for (let n = 0; n < 20; n++) await record(n);
  const counts = await Promise.all([auditSeal(rows.database, rows.organizationId), auditSeal(rows.database, rows.organizationId)]);
  expect(counts.toSorted()).toEqual([0, 20]);
  await record(20);
  expect(await auditSeal(rows.database, rows.organizationId)).toBe(1);
  expect(await brokenAt()).toBeNull();
  const tampered = rows.database
    .updateTable("audit")
    .set({ data: JSON.stringify({ n: 99 }) })
    .where("request_id", "=", "q7");
  await tampered.execute();
  expect(await brokenAt()).toBe(8);
  await rows.database
    .updateTable("audit")
    .set({ data: JSON.stringify({ n: 7 }) })
    .where("request_id", "=", "q7")
    .execute();
  expect(await brokenAt()).toBeNull();
  await rows.database.deleteFrom("audit").where("request_id", "=", "q12").execute();
  expect(await brokenAt()).toBe(13);
});
