/**
 * The saga interpreter: which steps of a run may start now, given what the journal says has happened. Pure: the DBOS driver, the
 * virtual-time simulator and the replay check are three callers of the same `sagaNext`.
 *
 * Invariants (property-tested):
 * - a step starts only after every step in its `after` is ok;
 * - after a failure or a cancel nothing new is done, what is in flight settles, then every *attempted* step is undone (the failed
 *   one too: a failed call may have left half an object) in reverse order of dependencies, unless a final step is ok: then all stays;
 * - the action depends on the journal's order alone, so replaying any prefix gives the same actions.
 */
import { AppError, type ErrorCode, unreachable } from "#domain/error.ts";
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
  /** Once it is ok the run only goes forward: what follows builds on something that must not be taken back. */
  readonly final?: boolean;
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

/** Limits of the engine. Times in milliseconds. */
export const sagaLimits = {
  /** Steps of one run that are in flight at once. */
  inFlight: 16,
  steps: 2_000,
  attemptTimeoutMs: 10_000,
  doDeadlineMs: 5 * 60_000,
  /** Undo retries longer: giving up leaves something behind. */
  undoDeadlineMs: 30 * 60_000,
  maxAttempts: 1_000,
  firstRetryMs: 200,
  longestRetryMs: 5_000,
} as const;

export interface SagaInput {
  readonly steps: readonly SagaStep[];
  readonly onFailure: OnFailure;
  /** In order of `seq`, without gaps. */
  readonly journal: readonly JournalEntry[];
  readonly inFlight: readonly SagaWork[];
}

/** Throws `invalid_input` when the steps are not a graph that can end: duplicate ids, unknown ids, cycles, too many steps. */
export function validateSaga(steps: readonly SagaStep[]): void {
  if (steps.length > sagaLimits.steps)
    refuse(`a run has at most ${sagaLimits.steps} steps, this one has ${steps.length}`, "split the change");
  const remaining = new Map<string, Set<string>>();
  for (const step of steps) {
    if (step.id === "") refuse("a step id is not empty", "name the step");
    if (remaining.has(step.id)) refuse(`step ids are unique, "${step.id}" occurs twice`, "rename one of them");
    remaining.set(step.id, new Set(step.after));
  }
  for (const step of steps) {
    for (const id of step.after) {
      if (!remaining.has(id)) refuse(`step "${step.id}" comes after "${id}", which does not exist`, "name an existing step");
    }
  }
  const dependents = dependentsOf(steps);
  const ready = steps.filter((step) => step.after.length === 0).map((step) => step.id);
  for (let id = ready.pop(); id !== undefined; id = ready.pop()) {
    remaining.delete(id);
    for (const dependent of dependents.get(id) ?? []) {
      const open = remaining.get(dependent);
      open?.delete(id);
      if (open?.size === 0) ready.push(dependent);
    }
  }
  if (remaining.size > 0)
    refuse(`steps must not wait for each other in a circle: ${[...remaining.keys()].join(", ")}`, "remove one `after`");
}

function refuse(constraint: string, nearest: string): never {
  throw new AppError("invalid_input", "The steps of the run are not a valid graph", {
    detail: [{ constraint, source: "saga graph", nearest }],
  });
}

function dependentsOf(steps: readonly SagaStep[]): Map<string, string[]> {
  const dependents = new Map<string, string[]>(steps.map((step) => [step.id, []]));
  for (const step of steps) for (const id of step.after) dependents.get(id)?.push(step.id);
  return dependents;
}

type DoState = "none" | "waiting" | "woken" | "ok" | "failed";
type UndoState = "none" | "ok" | "failed";

interface Folded {
  readonly done: ReadonlyMap<string, DoState>;
  readonly undone: ReadonlyMap<string, UndoState>;
  readonly stopping: boolean;
}

/** What the journal says about every step. */
function fold(journal: readonly JournalEntry[]): Folded {
  const done = new Map<string, DoState>();
  const undone = new Map<string, UndoState>();
  let stopping = false;
  for (const entry of journal) {
    switch (entry.type) {
      case "step":
        (entry.phase === "do" ? done : undone).set(entry.stepId, entry.outcome);
        if (entry.phase === "do" && entry.outcome === "failed") stopping = true;
        break;
      case "cancel":
        stopping = true;
        break;
      case "wait":
        done.set(entry.stepId, "waiting");
        break;
      case "wake":
        done.set(entry.stepId, "woken");
        break;
      default:
        unreachable(entry);
    }
  }
  return { done, undone, stopping };
}

/** The one decision of a run: what to do now. Ask again after every `start` and after every journal entry. */
export function sagaNext(input: SagaInput): SagaAction {
  const state = fold(input.journal);
  return state.stopping ? nextStopping(input, state) : nextForward(input, state);
}

function nextForward(input: SagaInput, state: Folded): SagaAction {
  const inFlight = new Set(input.inFlight.map((work) => work.stepId));
  const ready = input.steps.filter((step) => {
    const done = state.done.get(step.id) ?? "none";
    if (inFlight.has(step.id) || (done !== "none" && done !== "woken")) return false;
    return step.after.every((id) => state.done.get(id) === "ok");
  });
  const action = startOrSettle(input, ready, "do");
  if (action !== undefined) return action;
  if (input.steps.some((step) => state.done.get(step.id) === "waiting")) return { type: "suspend" };
  return { type: "end", outcome: "succeeded" };
}

function nextStopping(input: SagaInput, state: Folded): SagaAction {
  // Nothing is undone while something is still being done: a late `do` could re-create what its undo has just removed.
  if (input.inFlight.some((work) => work.phase === "do")) return { type: "settle" };
  const isFinal = input.steps.some((step) => step.final === true && state.done.get(step.id) === "ok");
  if (input.onFailure === "stop" || isFinal) return { type: "end", outcome: "failed" };
  const dependents = dependentsOf(input.steps);
  const cleared = clearedSteps(input.steps, state, dependents);
  const inFlight = new Set(input.inFlight.map((work) => work.stepId));
  const ready = input.steps.filter((step) => {
    if (!isAttempted(state, step.id) || !step.undoable || inFlight.has(step.id) || state.undone.has(step.id)) return false;
    return (dependents.get(step.id) ?? []).every((id) => cleared.has(id));
  });
  const action = startOrSettle(input, ready.reverse(), "undo");
  if (action !== undefined) return action;
  // A failed undo blocks only what it depends on; everything else was still undone, so that as little as possible is left.
  const failed = [...state.undone.values()].includes("failed");
  return { type: "end", outcome: failed ? "failed" : "compensated" };
}

function startOrSettle(input: SagaInput, ready: readonly SagaStep[], phase: SagaPhase): SagaAction | undefined {
  const free = sagaLimits.inFlight - input.inFlight.length;
  const work = ready.slice(0, Math.max(0, free)).map((step) => ({ stepId: step.id, phase }));
  if (work.length > 0) return { type: "start", work };
  return input.inFlight.length > 0 ? { type: "settle" } : undefined;
}

function isAttempted(state: Folded, stepId: string): boolean {
  return state.done.has(stepId);
}

/**
 * Steps that no longer stand in the way of undoing what they depend on: never attempted, or undone, or not undoable with all
 * dependents cleared (so that order also holds across a step that is skipped).
 */
function clearedSteps(steps: readonly SagaStep[], state: Folded, dependents: ReadonlyMap<string, readonly string[]>): Set<string> {
  const cleared = new Set<string>();
  const visit = (id: string, undoable: boolean): void => {
    const isCleared =
      !isAttempted(state, id) || (undoable ? state.undone.get(id) === "ok" : (dependents.get(id) ?? []).every((d) => cleared.has(d)));
    if (isCleared) cleared.add(id);
  };
  for (const step of reverseTopological(steps, dependents)) visit(step.id, step.undoable);
  return cleared;
}

/** Every step after all of its dependents. */
function reverseTopological(steps: readonly SagaStep[], dependents: ReadonlyMap<string, readonly string[]>): SagaStep[] {
  const byId = new Map(steps.map((step) => [step.id, step]));
  const open = new Map(steps.map((step) => [step.id, (dependents.get(step.id) ?? []).length]));
  const ready = steps.filter((step) => open.get(step.id) === 0);
  const order: SagaStep[] = [];
  for (let step = ready.pop(); step !== undefined; step = ready.pop()) {
    order.push(step);
    for (const id of step.after) {
      const left = (open.get(id) ?? 0) - 1;
      open.set(id, left);
      const dependency = byId.get(id);
      if (left === 0 && dependency !== undefined) ready.push(dependency);
    }
  }
  return order;
}
