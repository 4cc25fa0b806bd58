/** Row types of the engine's tables (migration 0001). */
import type { ColumnType, Generated } from "kysely";
import type { Json } from "#domain/json.ts";
import type { OnFailure, RunOutcome, SagaPhase, StepError } from "#domain/saga.ts";

/** jsonb: read parsed, written as text (pg would turn a JS array into a Postgres array). */
export type JsonColumn<T = Json> = ColumnType<T, string, string>;
export type NullableJsonColumn<T = Json> = ColumnType<T | null, string | null | undefined, string | null>;
/** timestamptz read as Date; written by the database clock or as Date. */
export type Timestamp = ColumnType<Date, Date | string, Date | string>;
export type NullableTimestamp = ColumnType<Date | null, Date | string | null | undefined, Date | string | null>;
export type DefaultTimestamp = ColumnType<Date, Date | string | undefined, Date | string>;

export type RunState = "queued" | "running" | "waiting" | RunOutcome;
export type RunStepState = "pending" | "running" | "waiting" | "ok" | "failed" | "undoing" | "undone" | "undo_failed";

export interface RunTable {
  id: string;
  state: Generated<RunState>;
  on_failure: OnFailure;
  segment: Generated<number>;
  journal_seq: Generated<number>;
  cancel_requested: Generated<boolean>;
  owner_process: string | null;
  /** Only set when the engine itself gave up on the run. */
  error: NullableJsonColumn<StepError>;
  created_at: DefaultTimestamp;
  started_at: NullableTimestamp;
  finished_at: NullableTimestamp;
}

export interface RunStepTable {
  run_id: string;
  step_id: string;
  ordinal: number;
  kind: string;
  title: string;
  input: JsonColumn;
  after: string[];
  undoable: boolean;
  final: Generated<boolean>;
  state: Generated<RunStepState>;
  attempts: Generated<number>;
  started_at: NullableTimestamp;
  finished_at: NullableTimestamp;
  error: NullableJsonColumn<StepError>;
  output: NullableJsonColumn;
}

export interface RunJournalTable {
  run_id: string;
  seq: number;
  segment: number;
  type: "step" | "cancel" | "wait" | "wake";
  step_id: string | null;
  phase: SagaPhase | null;
  outcome: "ok" | "failed" | null;
  /** Output of a step, condition of a wait, payload of a wake. */
  output: NullableJsonColumn;
  error: NullableJsonColumn<StepError>;
  at: DefaultTimestamp;
}

export interface RunWaitTable {
  run_id: string;
  step_id: string;
  until: NullableTimestamp;
  event: string | null;
  reason: string;
  created_at: DefaultTimestamp;
}

export interface ControlProcessTable {
  id: string;
  home: string;
  hostname: string;
  boot_id: string;
  pid_namespace: string;
  pid: number;
  /** Field 22 of /proc/PID/stat: together with boot id and namespace it names one process for ever. */
  pid_started: string;
  state: "alive" | "dead" | "stopped";
  started_at: DefaultTimestamp;
  heartbeat_at: DefaultTimestamp;
  expires_at: Timestamp;
}

export interface LeadershipTable {
  name: string;
  process_id: string;
  until: Timestamp;
}

export interface EngineSchema {
  run: RunTable;
  run_step: RunStepTable;
  run_journal: RunJournalTable;
  run_wait: RunWaitTable;
  control_process: ControlProcessTable;
  leadership: LeadershipTable;
}
