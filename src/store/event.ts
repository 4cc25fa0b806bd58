/** Events: an outbox. `seq` is per vApp under its row lock; one sequencer gives the global `position` after commit. */
import { sql } from "kysely";
import { advisoryLock } from "#store/advisory-lock.ts";
import type { Database, Tx } from "#store/database.ts";

export interface NewEvent {
  readonly id: string;
  readonly organizationId: string;
  readonly vappId: string;
  readonly type: string;
  readonly subject: string;
  readonly data: object;
}

/** Takes the vApp's row lock: events of one vApp are in the order of their transactions. */
export async function eventInsert(tx: Tx, event: NewEvent): Promise<void> {
  const { event_seq } = await tx
    .updateTable("vapp")
    .set((eb) => ({ event_seq: eb("event_seq", "+", 1) }))
    .where("id", "=", event.vappId)
    .returning("event_seq")
    .executeTakeFirstOrThrow();
  await tx
    .insertInto("event")
    .values({
      id: event.id,
      organization_id: event.organizationId,
      vapp_id: event.vappId,
      seq: event_seq,
      type: event.type,
      subject: event.subject,
      data: JSON.stringify(event.data),
    })
    .execute();
}

const sequenceBatch = 1_000;
/** Gives the next positions; several callers at once do no harm (one works, the others wait). Returns how many were given. */
export async function eventSequence(db: Database): Promise<number> {
  return db.transaction().execute(async (tx) => {
    await advisoryLock(tx, "sequencer");
    const result = await sql<{ n: number }>`
      with base as (select coalesce(max(position), 0) as position from event),
      next as (select id, row_number() over (order by vapp_id, seq) as n from event where position is null order by vapp_id, seq limit ${sequenceBatch}),
      given as (update event set position = base.position + next.n from next, base where event.id = next.id returning 1)
      select count(*)::int as n from given`.execute(tx);
    return result.rows[0]?.n ?? 0;
  });
}

export function eventList(db: Database, filter: { organizationId: string; vappId?: string; after: number; limit: number }) {
  let query = db.selectFrom("event").selectAll().where("organization_id", "=", filter.organizationId).where("position", ">", filter.after);
  if (filter.vappId !== undefined) query = query.where("vapp_id", "=", filter.vappId);
  return query.orderBy("position").limit(filter.limit).execute();
}

/** The newest event of one of these types. */
export function eventLatest(db: Database, vappId: string, types: readonly string[]) {
  return db
    .selectFrom("event")
    .select(["type", "data"])
    .where("vapp_id", "=", vappId)
    .where("type", "in", [...types])
    .orderBy("seq", "desc")
    .limit(1)
    .executeTakeFirst();
}

/** The last position given; everything up to it is visible, since positions are given in order and become visible together. */
export async function eventHead(db: Database): Promise<number> {
  const row = await db
    .selectFrom("event")
    .select((eb) => eb.fn.max("position").as("position"))
    .executeTakeFirstOrThrow();
  return row.position ?? 0;
}
