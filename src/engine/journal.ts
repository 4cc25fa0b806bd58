/** Reading and writing the journal, a run's memory. `seq` is counted in the run's row, whose lock orders all writers of one run. */
import { assert } from "#domain/error.ts";
import type { Json } from "#domain/json.ts";
import type { JournalEntry, OnFailure, StepError, WaitCondition } from "#domain/saga.ts";
import type { RunStep } from "#engine/contract.ts";
import type { Database, Tx } from "#store/database.ts";
import type { RunJournalTable, RunState } from "#store/schema-engine.ts";
import type { Selectable } from "kysely";

/** A journal entry that has no number yet. */
export type NewEntry = JournalEntry extends infer E ? (E extends JournalEntry ? Omit<E, "seq"> : never) : never;

export interface LockedRun {
  readonly state: RunState;
  readonly segment: number;
  readonly journalSeq: number;
  readonly cancelRequested: boolean;
}

/** Locks the run against every other writer of its journal until the transaction ends. */
export async function lockRun(tx: Tx, runId: string): Promise<LockedRun | undefined> {
  const row = await tx
    .selectFrom("run")
    .select(["state", "segment", "journal_seq", "cancel_requested"])
    .where("id", "=", runId)
    .forUpdate()
    .executeTakeFirst();
  if (row === undefined) return undefined;
  return { state: row.state, segment: row.segment, journalSeq: row.journal_seq, cancelRequested: row.cancel_requested };
}

/** Appends an entry and returns it with its number. Takes the run's lock when the caller does not have it yet. */
export async function appendJournal(tx: Tx, runId: string, entry: NewEntry): Promise<JournalEntry> {
  const run = await tx
    .updateTable("run")
    .set((eb) => ({ journal_seq: eb("journal_seq", "+", 1) }))
    .where("id", "=", runId)
    .returning(["journal_seq", "segment"])
    .executeTakeFirst();
  assert(run !== undefined, "a journal belongs to a run");
  const numbered: JournalEntry = { ...entry, seq: run.journal_seq };
  await tx
    .insertInto("run_journal")
    .values({ run_id: runId, seq: run.journal_seq, segment: run.segment, ...columns(numbered) })
    .execute();
  return numbered;
}

function columns(entry: JournalEntry) {
  const none = { type: entry.type, step_id: null, phase: null, outcome: null, output: null, error: null };
  switch (entry.type) {
    case "cancel":
      return none;
    case "wait":
      return { ...none, step_id: entry.stepId, output: JSON.stringify(entry.condition) };
    case "wake":
      return { ...none, step_id: entry.stepId, output: JSON.stringify(entry.payload) };
    case "step":
      return {
        ...none,
        step_id: entry.stepId,
        phase: entry.phase,
        outcome: entry.outcome,
        output: entry.output === undefined ? null : JSON.stringify(entry.output),
        error: entry.error === undefined ? null : JSON.stringify(entry.error),
      };
  }
}

/** Entries after `afterSeq`, in order. */
export async function readJournal(database: Database | Tx, runId: string, afterSeq: number): Promise<JournalEntry[]> {
  const rows = await database
    .selectFrom("run_journal")
    .selectAll()
    .where("run_id", "=", runId)
    .where("seq", ">", afterSeq)
    .orderBy("seq")
    .execute();
  return rows.map(entryOf);
}

function entryOf(row: Selectable<RunJournalTable>): JournalEntry {
  if (row.type === "cancel") return { seq: row.seq, type: "cancel" };
  assert(row.step_id !== null, "an entry other than cancel names its step");
  if (row.type === "wait") return { seq: row.seq, type: "wait", stepId: row.step_id, condition: row.output as unknown as WaitCondition };
  if (row.type === "wake") return { seq: row.seq, type: "wake", stepId: row.step_id, payload: row.output };
  assert(row.phase !== null && row.outcome !== null, "a step entry has phase and outcome");
  const base = { seq: row.seq, type: "step", stepId: row.step_id, phase: row.phase, outcome: row.outcome } as const;
  const error: StepError | null = row.error;
  const output: Json = row.output;
  return { ...base, ...(row.outcome === "ok" ? { output } : {}), ...(error === null ? {} : { error }) };
}

export interface StoredRun {
  readonly id: string;
  readonly state: RunState;
  readonly onFailure: OnFailure;
  readonly steps: readonly RunStep[];
}

export async function readRun(database: Database, runId: string): Promise<StoredRun | undefined> {
  const run = await database.selectFrom("run").select(["id", "state", "on_failure"]).where("id", "=", runId).executeTakeFirst();
  if (run === undefined) return undefined;
  const rows = await database.selectFrom("run_step").selectAll().where("run_id", "=", runId).orderBy("ordinal").execute();
  const steps = rows.map((row): RunStep => {
    return {
      id: row.step_id,
      kind: row.kind,
      title: row.title,
      input: row.input,
      after: row.after,
      undoable: row.undoable,
      final: row.final,
    };
  });
  return { id: run.id, state: run.state, onFailure: run.on_failure, steps };
}
