/** Advisory locks of transactions, by name, so that no two uses share a number. Held until the transaction ends. */
import { sql } from "kysely";
import type { Tx } from "#store/database.ts";

const locks = { sequencer: 7_310_001, prefix: 7_310_002, capacity: 7_310_003, setup: 7_310_004 } as const;

export async function advisoryLock(tx: Tx, name: keyof typeof locks): Promise<void> {
  await sql`select pg_advisory_xact_lock(${locks[name]})`.execute(tx);
}
