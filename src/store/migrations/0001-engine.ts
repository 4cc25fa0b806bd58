/** Tables of the durable engine: runs, their steps, journal and waits; control-plane processes and leadership. */
import { type Kysely, sql } from "kysely";

export async function up(db: Kysely<unknown>): Promise<void> {
  await sql`
    create table run (
      id uuid primary key,
      state text not null default 'queued'
        check (state in ('queued', 'running', 'waiting', 'succeeded', 'compensated', 'failed')),
      on_failure text not null check (on_failure in ('compensate', 'stop')),
      segment int not null default 1,
      journal_seq int not null default 0,
      cancel_requested boolean not null default false,
      owner_process uuid,
      error jsonb,
      created_at timestamptz not null default now(),
      started_at timestamptz,
      finished_at timestamptz,
      check ((finished_at is not null) = (state in ('succeeded', 'compensated', 'failed')))
    )`.execute(db);
  await sql`create index run_open on run (created_at) where finished_at is null`.execute(db);
  await sql`
    create table run_step (
      run_id uuid not null references run on delete cascade,
      step_id text not null,
      ordinal int not null,
      kind text not null,
      title text not null,
      input jsonb not null,
      after text[] not null,
      undoable boolean not null,
      final boolean not null default false,
      state text not null default 'pending'
        check (state in ('pending', 'running', 'waiting', 'ok', 'failed', 'undoing', 'undone', 'undo_failed')),
      attempts int not null default 0,
      started_at timestamptz,
      finished_at timestamptz,
      error jsonb,
      output jsonb,
      primary key (run_id, step_id),
      unique (run_id, ordinal)
    )`.execute(db);
  await sql`
    create table run_journal (
      run_id uuid not null references run on delete cascade,
      seq int not null check (seq > 0),
      segment int not null,
      type text not null check (type in ('step', 'cancel', 'wait', 'wake')),
      step_id text,
      phase text check (phase in ('do', 'undo')),
      outcome text check (outcome in ('ok', 'failed')),
      output jsonb,
      error jsonb,
      at timestamptz not null default clock_timestamp(),
      primary key (run_id, seq)
    )`.execute(db);
  // The journal itself refuses a second outcome of one step: exactly-once is a constraint, not a hope.
  await sql`create unique index run_journal_once on run_journal (run_id, step_id, phase) where type = 'step'`.execute(db);
  await sql`
    create table run_wait (
      run_id uuid not null references run on delete cascade,
      step_id text not null,
      until timestamptz,
      event text,
      reason text not null,
      created_at timestamptz not null default now(),
      primary key (run_id, step_id),
      check (until is not null or event is not null)
    )`.execute(db);
  await sql`create index run_wait_until on run_wait (until) where until is not null`.execute(db);
  await sql`create index run_wait_event on run_wait (event) where event is not null`.execute(db);
  await sql`
    create table control_process (
      id uuid primary key,
      home text not null,
      hostname text not null,
      boot_id text not null,
      pid_namespace text not null,
      pid int not null,
      pid_started text not null,
      state text not null check (state in ('alive', 'dead', 'stopped')),
      started_at timestamptz not null default now(),
      heartbeat_at timestamptz not null default now(),
      expires_at timestamptz not null
    )`.execute(db);
  await sql`create index control_process_alive on control_process (expires_at) where state = 'alive'`.execute(db);
  await sql`
    create table leadership (
      name text primary key,
      process_id uuid not null,
      until timestamptz not null
    )`.execute(db);
}
