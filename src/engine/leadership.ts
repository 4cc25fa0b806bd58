/**
 * Which process runs a loop now. A row per name with an end time on the database clock, renewed three times in its life; in memory we believe
 * in it a little shorter than the row says, so two processes never lead at once.
 */
import { sql } from "kysely";
import type { CallContext, Clock, Log } from "#domain/context.ts";
import { isTransientDatabaseError, type Database } from "#store/database.ts";

export interface Leadership {
  lead(name: string, loop: (ctx: CallContext) => Promise<void>, intervalMs: number): void;
  /** Stops all loops, waits for the running ones, and lets others lead at once. */
  stop(): Promise<void>;
}

export interface LeadershipOptions {
  readonly database: Database;
  readonly processId: string;
  readonly ttlMs: number;
  readonly clock: Clock;
  readonly log: Log;
}

const renewalsPerLife = 3;

/** A loop that failed is not tried again sooner than this. */
const failurePauseMs = 1_000;

export function startLeadership(options: LeadershipOptions): Leadership {
  const { clock, log, ttlMs } = options;
  const stopped = new AbortController();
  const names: string[] = [];
  /** Name -> monotonic time until which we may believe to lead. */
  const ledUntil = new Map<string, number>();
  const running: Promise<void>[] = [];
  let renewNow = () => {};

  const renew = async (): Promise<void> => {
    const asked = performance.now();
    const held = await acquire(options, [...names]);
    for (const name of names) {
      if (held.has(name)) ledUntil.set(name, asked + ttlMs * 0.9);
      else ledUntil.delete(name);
    }
  };
  const renewLoop = async (): Promise<void> => {
    while (!stopped.signal.aborted) {
      if (names.length > 0) await renew().catch((error: unknown) => log.debug({ error: String(error) }, "leadership could not be renewed"));
      const sooner = new Promise<void>((resolve) => (renewNow = resolve));
      await Promise.race([clock.sleep(ttlMs / renewalsPerLife, stopped.signal).catch(() => {}), sooner]);
    }
  };
  running.push(renewLoop());

  /** False when the loop failed. A database that is away is waited for; anything else somebody should look at. */
  const attempt = async (name: string, loop: (ctx: CallContext) => Promise<void>): Promise<boolean> => {
    try {
      await loop({ signal: stopped.signal, log, clock });
      return true;
    } catch (error) {
      if (stopped.signal.aborted) return true;
      if (isTransientDatabaseError(error)) log.warn({ loop: name, error: String(error) }, "a loop waits for the database");
      else log.error({ loop: name, error: error instanceof Error ? error.stack : String(error) }, "a loop failed and goes on");
      return false;
    }
  };

  const runLoop = async (name: string, loop: (ctx: CallContext) => Promise<void>, intervalMs: number): Promise<void> => {
    while (!stopped.signal.aborted) {
      const leftMs = (ledUntil.get(name) ?? 0) - performance.now();
      const failed = leftMs > 0 && !(await attempt(name, loop));
      // Who does not lead looks more often than a slow loop runs, so that a new leader starts soon; one that fails is no hurry.
      const pauseMs = leftMs > 0 ? Math.max(intervalMs, failed ? failurePauseMs : 0) : Math.min(intervalMs, ttlMs / renewalsPerLife);
      await clock.sleep(pauseMs, stopped.signal).catch(() => {});
    }
  };

  return {
    lead(name, loop, intervalMs) {
      names.push(name);
      renewNow();
      running.push(runLoop(name, loop, intervalMs));
    },
    async stop() {
      stopped.abort(new Error("the engine is closing"));
      await Promise.all(running);
      await options.database
        .deleteFrom("leadership")
        .where("process_id", "=", options.processId)
        .execute()
        .catch(() => {});
    },
  };
}

/** Takes or renews what is free, expired, ours, or held by a process that is not alive any more. */
async function acquire(options: LeadershipOptions, names: readonly string[]): Promise<Set<string>> {
  const result = await sql<{ name: string }>`
    insert into leadership (name, process_id, until)
    select name, ${options.processId}::uuid, clock_timestamp() + ${options.ttlMs} * interval '1 millisecond'
      from unnest(${[...names].toSorted()}::text[]) as name
    on conflict (name) do update set process_id = excluded.process_id, until = excluded.until
      where leadership.process_id = excluded.process_id or leadership.until < clock_timestamp()
         or not exists (select from control_process p where p.id = leadership.process_id and p.state = 'alive')
    returning name`.execute(options.database);
  return new Set(result.rows.map((row) => row.name));
}
