/** Which process this is, and whether another one is provably dead. Rows of `control_process`. */
import { readFileSync, readlinkSync } from "node:fs";
import { hostname } from "node:os";
import { sql } from "kysely";
import type { Database } from "#store/database.ts";

/** For people who look into what happened; nothing reads the rows of dead processes. */
const keepDeadDays = 30;

export interface ProcessIdentity {
  readonly hostname: string;
  /** Changes with every boot of the host. */
  readonly bootId: string;
  /** Pids mean something only inside their namespace. */
  readonly pidNamespace: string;
  readonly pid: number;
  /** Start time in clock ticks since boot: tells a process from a later one with the same pid. */
  readonly pidStarted: string;
}

export function thisProcess(): ProcessIdentity {
  return {
    hostname: hostname(),
    bootId: readFileSync("/proc/sys/kernel/random/boot_id", "utf8").trim(),
    pidNamespace: readlinkSync("/proc/self/ns/pid"),
    pid: process.pid,
    pidStarted: runningSince(process.pid) ?? "0",
  };
}

/** Start time of a running process; undefined when there is none, and for a zombie, which no longer does anything. */
export function runningSince(pid: number): string | undefined {
  let stat: string;
  try {
    stat = readFileSync(`/proc/${pid}/stat`, "utf8");
  } catch {
    return undefined;
  }
  // The command name is in parentheses and may contain blanks and parentheses; fields 3 (state) and 22 (starttime) come after it.
  const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  return fields[0] === "Z" || fields[0] === "X" ? undefined : fields[19];
}

/** True only when the process certainly no longer runs; false when we cannot know (another host, another namespace). */
export function isProvenDead(other: ProcessIdentity, self: ProcessIdentity): boolean {
  if (other.hostname !== self.hostname) return false;
  if (other.bootId !== self.bootId) return true;
  if (other.pidNamespace !== self.pidNamespace) return false;
  return runningSince(other.pid) !== other.pidStarted;
}

export async function registerProcess(database: Database, id: string, home: string, self: ProcessIdentity, ttlMs: number): Promise<void> {
  const row = {
    id,
    home,
    hostname: self.hostname,
    boot_id: self.bootId,
    pid_namespace: self.pidNamespace,
    pid: self.pid,
    pid_started: self.pidStarted,
  };
  await database
    .insertInto("control_process")
    .values({ ...row, state: "alive", expires_at: sql<Date>`clock_timestamp() + ${ttlMs} * interval '1 millisecond'` })
    .execute();
}

/** Marks earlier processes of the same home that are proven dead, so that their work is taken over without waiting for their heartbeat. */
export async function buryPredecessors(database: Database, home: string, self: ProcessIdentity): Promise<string[]> {
  const rows = await database.selectFrom("control_process").selectAll().where("state", "=", "alive").where("home", "=", home).execute();
  const dead = rows.filter((row) => {
    return isProvenDead(
      { hostname: row.hostname, bootId: row.boot_id, pidNamespace: row.pid_namespace, pid: row.pid, pidStarted: row.pid_started },
      self,
    );
  });
  const ids = dead.map((row) => row.id);
  await database
    .deleteFrom("control_process")
    .where("state", "!=", "alive")
    .where(sql<boolean>`expires_at < now() - ${keepDeadDays} * interval '1 day'`)
    .execute();
  if (ids.length > 0) await database.updateTable("control_process").set({ state: "dead" }).where("id", "in", ids).execute();
  return ids;
}

/** Marks processes whose heartbeat ran out; returns them. A server restart gives everybody a full life to report back. */
export async function buryExpired(database: Database, ttlMs: number): Promise<string[]> {
  const life = sql`${ttlMs} * interval '1 millisecond'`;
  const rows = await database
    .updateTable("control_process")
    .set({ state: "dead" })
    .where("state", "=", "alive")
    .where(sql<boolean>`greatest(expires_at, pg_postmaster_start_time() + ${life}) < clock_timestamp()`)
    .returning("id")
    .execute();
  return rows.map((row) => row.id);
}

export async function aliveProcesses(database: Database): Promise<Set<string>> {
  const rows = await database.selectFrom("control_process").select("id").where("state", "=", "alive").execute();
  return new Set(rows.map((row) => row.id));
}

export async function markStopped(database: Database, id: string): Promise<void> {
  await database.updateTable("control_process").set({ state: "stopped" }).where("id", "=", id).where("state", "=", "alive").execute();
}
