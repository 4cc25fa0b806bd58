/**
 * The built-in IPAM: prefixes unique in the whole installation, addresses unique per segment. Both allocations are idempotent by
 * their owner, so a step may ask again after a crash, and both serialise on an advisory lock, so two askers never get the same one.
 */
import { sql } from "kysely";
import { addressNth, allocateAddress, allocatePrefix, macOf } from "#domain/cidr.ts";
import { advisoryLock } from "#store/advisory-lock.ts";
import type { Tx } from "#store/database.ts";

/** Length of a segment's prefix: 253 machines are more than any vApp may have. */
const segmentPrefixLength = 24;

/** The segment's prefix and gateway, allocated from the pool when it has none yet. */
export async function prefixEnsure(tx: Tx, segmentId: string, pool: string): Promise<{ prefix: string; gateway: string }> {
  await advisoryLock(tx, "prefix");
  const own = await tx
    .selectFrom("segment")
    .select(["prefix", sql<string>`host(gateway)`.as("gateway")])
    .where("id", "=", segmentId)
    .executeTakeFirstOrThrow();
  if (own.prefix !== null) return { prefix: own.prefix, gateway: own.gateway };
  const taken = await tx.selectFrom("segment").select("prefix").where("prefix", "is not", null).execute();
  const prefix = allocatePrefix(
    pool,
    segmentPrefixLength,
    taken.map((row) => row.prefix!),
  );
  const gateway = addressNth(prefix, 1);
  await tx.updateTable("segment").set({ prefix, gateway }).where("id", "=", segmentId).execute();
  return { prefix, gateway };
}

/** The machine's address in the segment, allocated when it has none yet. The segment must have its prefix. */
export async function addressEnsure(tx: Tx, segmentId: string, machineId: string): Promise<{ address: string; mac: string }> {
  const segment = await tx
    .selectFrom("segment")
    .select(["prefix", sql<string>`host(gateway)`.as("gateway")])
    .where("id", "=", segmentId)
    .forUpdate()
    .executeTakeFirstOrThrow();
  const rows = await tx
    .selectFrom("address")
    .select(["machine_id", sql<string>`host(address)`.as("address"), "mac"])
    .where("segment_id", "=", segmentId)
    .execute();
  const own = rows.find((row) => row.machine_id === machineId);
  if (own !== undefined) return { address: own.address, mac: own.mac };
  if (segment.prefix === null) throw new Error(`segment ${segmentId} has no prefix yet`);
  const address = allocateAddress(segment.prefix, [segment.gateway, ...rows.map((row) => row.address)]);
  // The same address always has the same MAC: neighbours remember whose an address was for half a minute, and would send to nobody.
  const mac = macOf(`${segmentId}/${address}`);
  await tx.insertInto("address").values({ segment_id: segmentId, machine_id: machineId, address, mac }).execute();
  return { address, mac };
}

export function addressesRelease(tx: Tx, machineId: string) {
  return tx.deleteFrom("address").where("machine_id", "=", machineId).execute();
}
