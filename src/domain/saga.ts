/**
 * The saga interpreter: which steps of a run may start now, given what the journal says has happened. Pure: the DBOS driver, the
 * virtual-time simulator and the replay check are three callers of the same `sagaNext`.
 *
 * Invariants (property-tested):
 * - a step starts only after every step in its `after` is ok;
 * - after a failure or a cancel nothing new is done, what is in flight settles, then every *attempted* step is undone (the failed
 *   one too: a failed call may have left half an object) in reverse order of dependencies;
 * - the action depends on the journal's order alone, so replaying any prefix gives the same actions.
 */
import type { ErrorCode } from "#domain/error.ts";
import type { Json } from "#domain/json.ts";

export type SagaPhase = "do" | "undo";
export type OnFailure = "compensate" | "stop";
/** `compensated`: everything attempted was undone. `failed`: something was left as it is (stop runs, or an undo failed). */
export type RunOutcome = "succeeded" | "compensated" | "failed";

export interface SagaStep {
  readonly id: string;
  readonly kind: string;
  /** Ids of the steps that must be ok before this one starts. */
  readonly after: readonly string[];
  /** False: undo skips it (it changes nothing outside, or what it changes may stay). */
  readonly undoable: boolean;
}

export interface StepError {
  readonly code: ErrorCode;
  readonly message: string;
}

/** When a waiting step is woken: at a time, by an event, or by whichever comes first. At least one of the two is set. */
export interface WaitCondition {
  /** Milliseconds since the epoch. */
  readonly until?: number;
  /** Key that `wakeEvent` names, e.g. `approval:<id>`. */
  readonly event?: string;
  /** A sentence a tenant may read: what the run is waiting for. */
  readonly reason: string;
}

export type JournalEntry =
  | {
      readonly seq: number;
      readonly type: "step";
      readonly stepId: string;
      readonly phase: SagaPhase;
      readonly outcome: "ok" | "failed";
      readonly output?: Json;
      readonly error?: StepError;
    }
  | { readonly seq: number; readonly type: "cancel" }
  | { readonly seq: number; readonly type: "wait"; readonly stepId: string; readonly condition: WaitCondition }
  | { readonly seq: number; readonly type: "wake"; readonly stepId: string; readonly payload: Json };

export interface SagaWork {
  readonly stepId: string;
  readonly phase: SagaPhase;
}

export type SagaAction =
  /** Start all of these; then ask again. */
  | { readonly type: "start"; readonly work: readonly SagaWork[] }
  /** Wait for the next journal entry. */
  | { readonly type: "settle" }
  /** Only waits are left: occupy nothing until one is woken. */
  | { readonly type: "suspend" }
  | { readonly type: "end"; readonly outcome: RunOutcome };
