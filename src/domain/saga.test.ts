import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { isAppError } from "#domain/error.ts";
import {
  type JournalEntry,
  type OnFailure,
  type SagaAction,
  sagaLimits,
  sagaNext,
  type SagaStep,
  type SagaWork,
  validateSaga,
} from "#domain/saga.ts";

/** What a simulated run does: everything that is not in the graph itself. */
interface Fate {
  readonly onFailure: OnFailure;
  readonly failing: ReadonlySet<string>;
  readonly failingUndo: ReadonlySet<string>;
  readonly waiting: ReadonlySet<string>;
  /** Duration of every piece of work, by step. */
  readonly durations: ReadonlyMap<string, number>;
  /** Virtual time of a cancel; undefined: none. */
  readonly cancelAt: number | undefined;
}

interface Simulated {
  readonly journal: readonly JournalEntry[];
  /** Actions in order, each with the number of journal entries it was based on and what was in flight. */
  readonly actions: readonly { readonly seen: number; readonly inFlight: readonly SagaWork[]; readonly action: SagaAction }[];
  readonly started: readonly SagaWork[];
  readonly segments: number;
}

/** The virtual-time driver: work ends in order of its duration, waits are woken 10 units later, nothing else passes time. */
function simulate(steps: readonly SagaStep[], fate: Fate): Simulated {
  const journal: JournalEntry[] = [];
  const actions: { seen: number; inFlight: SagaWork[]; action: SagaAction }[] = [];
  const started: SagaWork[] = [];
  const inFlight: { work: SagaWork; endsAt: number }[] = [];
  const wakes: { stepId: string; at: number }[] = [];
  const waited = new Set<string>();
  let now = 0;
  let segments = 1;
  let cancelAt = fate.cancelAt;
  const append = (entry: JournalEntry extends infer E ? (E extends JournalEntry ? Omit<E, "seq"> : never) : never) => {
    journal.push({ ...entry, seq: journal.length + 1 } as JournalEntry);
  };
  const passTime = (): void => {
    const next = inFlight.toSorted((a, b) => a.endsAt - b.endsAt)[0];
    const wake = wakes.toSorted((a, b) => a.at - b.at)[0];
    const soonest = Math.min(next?.endsAt ?? Infinity, wake?.at ?? Infinity, cancelAt ?? Infinity);
    now = Math.max(now, soonest);
    if (cancelAt === soonest) {
      cancelAt = undefined;
      append({ type: "cancel" });
      wakes.length = 0;
    } else if (wake?.at === soonest) {
      wakes.splice(wakes.indexOf(wake), 1);
      append({ type: "wake", stepId: wake.stepId, payload: null });
    } else if (next !== undefined) {
      inFlight.splice(inFlight.indexOf(next), 1);
      settle(next.work);
    } else {
      throw new Error("nothing will ever happen");
    }
  };
  const settle = ({ stepId, phase }: SagaWork): void => {
    if (phase === "do" && fate.waiting.has(stepId) && !waited.has(stepId)) {
      waited.add(stepId);
      wakes.push({ stepId, at: now + 10 });
      append({ type: "wait", stepId, condition: { until: now + 10, reason: "test" } });
      return;
    }
    const fails = (phase === "do" ? fate.failing : fate.failingUndo).has(stepId);
    append({ type: "step", stepId, phase, outcome: fails ? "failed" : "ok" });
  };
  for (let rounds = 0; rounds < 10_000; rounds++) {
    const working = inFlight.map((one) => one.work);
    const action = sagaNext({ steps, onFailure: fate.onFailure, journal, inFlight: working });
    actions.push({ seen: journal.length, inFlight: working, action });
    if (action.type === "end") return { journal, actions, started, segments };
    if (action.type === "start") {
      for (const work of action.work) {
        started.push(work);
        inFlight.push({ work, endsAt: now + (fate.durations.get(work.stepId) ?? 1) });
      }
      continue;
    }
    if (action.type === "suspend") {
      if (inFlight.length > 0) throw new Error("suspended with work in flight");
      segments += 1;
    }
    passTime();
  }
  throw new Error("the run does not end");
}

/** Acyclic by construction: a step may only come after steps of lower number; then shuffled. */
const graphs: fc.Arbitrary<SagaStep[]> = fc
  .array(fc.record({ after: fc.array(fc.nat(), { maxLength: 3 }), undoable: fc.boolean() }), { minLength: 0, maxLength: 24 })
  .chain((rows) => {
    const steps = rows.map((row, i): SagaStep => {
      const after = i === 0 ? [] : [...new Set(row.after.map((n) => `s${n % i}`))];
      return { id: `s${i}`, kind: "test", after, undoable: row.undoable };
    });
    return fc.shuffledSubarray(steps, { minLength: steps.length });
  });

function fates(steps: readonly SagaStep[]): fc.Arbitrary<Fate> {
  const ids = steps.map((step) => step.id);
  const some = fc.subarray(ids, { maxLength: Math.min(3, ids.length) }).map((chosen) => new Set(chosen));
  return fc.record({
    onFailure: fc.constantFrom<OnFailure>("compensate", "compensate", "stop"),
    failing: fc.oneof(fc.constant(new Set<string>()), some),
    failingUndo: fc.oneof(fc.constant(new Set<string>()), some),
    waiting: some,
    durations: fc
      .array(fc.integer({ min: 1, max: 20 }), { minLength: ids.length, maxLength: ids.length })
      .map((ms) => new Map(ids.map((id, i) => [id, ms[i]!]))),
    cancelAt: fc.option(fc.integer({ min: 0, max: 100 }), { nil: undefined }),
  });
}

const cases = graphs.chain((steps) => fc.tuple(fc.constant(steps), fates(steps)));

function stepEntries(run: Simulated, phase: "do" | "undo") {
  return run.journal.filter((entry) => entry.type === "step" && entry.phase === phase) as Extract<JournalEntry, { type: "step" }>[];
}

function attempted(run: Simulated): Set<string> {
  return new Set(run.started.filter((work) => work.phase === "do").map((work) => work.stepId));
}

describe("every run of every graph", () => {
  const check = (property: (steps: SagaStep[], fate: Fate, run: Simulated) => void) =>
    fc.assert(
      fc.property(cases, ([steps, fate]) => property(steps, fate, simulate(steps, fate))),
      { numRuns: 400 },
    );

  test("ends, and as succeeded exactly when all steps are ok and nothing stopped it", () => {
    check((steps, _fate, run) => {
      const end = run.actions.at(-1)?.action;
      const isStopped = run.journal.some((entry) => entry.type === "cancel" || (entry.type === "step" && entry.outcome === "failed"));
      expect(end?.type === "end" && end.outcome === "succeeded").toBe(!isStopped);
      if (!isStopped) expect(stepEntries(run, "do")).toHaveLength(steps.length);
    });
  });

  test("starts no step before its dependencies are ok", () => {
    check((steps, _fate, run) => {
      for (const { seen, action } of run.actions) {
        if (action.type !== "start") continue;
        const ok = new Set(
          run.journal
            .slice(0, seen)
            .flatMap((entry) => (entry.type === "step" && entry.phase === "do" && entry.outcome === "ok" ? [entry.stepId] : [])),
        );
        for (const work of action.work) {
          if (work.phase === "do") for (const id of steps.find((step) => step.id === work.stepId)!.after) expect(ok).toContain(id);
        }
      }
    });
  });

  test("has at most one outcome of a step and phase", () => {
    check((_steps, _fate, run) => {
      for (const phase of ["do", "undo"] as const) {
        const ids = stepEntries(run, phase).map((entry) => entry.stepId);
        expect(ids).toHaveLength(new Set(ids).size);
      }
    });
  });

  test("undoes exactly what was attempted and can be undone, when nothing prevents it", () => {
    check((steps, fate, run) => {
      const end = run.actions.at(-1)!.action;
      const undone = new Set(run.started.filter((work) => work.phase === "undo").map((work) => work.stepId));
      if (end.type !== "end" || end.outcome !== "compensated") {
        if (fate.onFailure === "stop") expect(undone.size).toBe(0);
        return;
      }
      const tried = attempted(run);
      expect([...undone].toSorted()).toEqual(
        steps
          .filter((step) => step.undoable && tried.has(step.id))
          .map((step) => step.id)
          .toSorted(),
      );
    });
  });

  test("undoes a step only after everything that was built on it", () => {
    check((steps, _fate, run) => {
      const ancestors = (id: string): string[] =>
        steps.find((step) => step.id === id)!.after.flatMap((parent) => [parent, ...ancestors(parent)]);
      const tried = attempted(run);
      for (const { seen, action } of run.actions) {
        if (action.type !== "start") continue;
        const gone = new Set(
          run.journal
            .slice(0, seen)
            .flatMap((entry) => (entry.type === "step" && entry.phase === "undo" && entry.outcome === "ok" ? [entry.stepId] : [])),
        );
        for (const work of action.work.filter((one) => one.phase === "undo")) {
          const built = steps.filter((step) => step.undoable && tried.has(step.id) && ancestors(step.id).includes(work.stepId));
          for (const step of built) expect(gone).toContain(step.id);
        }
      }
    });
  });

  test("does nothing new once it is stopped, and undoes only when nothing is in flight", () => {
    check((_steps, _fate, run) => {
      for (const { seen, inFlight, action } of run.actions) {
        const isStopped = run.journal
          .slice(0, seen)
          .some((entry) => entry.type === "cancel" || (entry.type === "step" && entry.phase === "do" && entry.outcome === "failed"));
        if (!isStopped || action.type !== "start") continue;
        expect(action.work.every((work) => work.phase === "undo")).toBe(true);
        expect(inFlight.every((work) => work.phase === "undo")).toBe(true);
      }
    });
  });

  test("replays: every prefix of the journal gives the same actions", () => {
    check((steps, fate, run) => {
      for (const { seen, inFlight, action } of run.actions) {
        const prefix = JSON.parse(JSON.stringify(run.journal.slice(0, seen))) as JournalEntry[];
        expect(sagaNext({ steps, onFailure: fate.onFailure, journal: prefix, inFlight })).toEqual(action);
      }
    });
  });

  test("keeps within the limit of work in flight", () => {
    check((_steps, _fate, run) => {
      for (const { inFlight, action } of run.actions) {
        expect(inFlight.length + (action.type === "start" ? action.work.length : 0)).toBeLessThanOrEqual(sagaLimits.inFlight);
      }
    });
  });
});

const step = (id: string, after: string[] = [], undoable = true): SagaStep => ({ id, kind: "test", after, undoable });
const quiet: Fate = {
  onFailure: "compensate",
  failing: new Set(),
  failingUndo: new Set(),
  waiting: new Set(),
  durations: new Map(),
  cancelAt: undefined,
};
const lines = (run: Simulated) =>
  run.journal.map((entry) => (entry.type === "step" ? `${entry.phase} ${entry.stepId} ${entry.outcome}` : entry.type));

describe("a run", () => {
  test("without steps succeeds", () => {
    expect(simulate([], quiet).actions).toEqual([{ seen: 0, inFlight: [], action: { type: "end", outcome: "succeeded" } }]);
  });

  test("that was cancelled before it began does nothing", () => {
    const journal: JournalEntry[] = [{ seq: 1, type: "cancel" }];
    expect(sagaNext({ steps: [step("a")], onFailure: "compensate", journal, inFlight: [] })).toEqual({
      type: "end",
      outcome: "compensated",
    });
  });

  test("keeps the order of undo across a step that is not undone", () => {
    const run = simulate([step("a"), step("b", ["a"], false), step("c", ["b"])], { ...quiet, failing: new Set(["c"]) });
    expect(lines(run)).toEqual(["do a ok", "do b ok", "do c failed", "undo c ok", "undo a ok"]);
  });

  test("undoes the rest when one undo fails, and says that something is left", () => {
    const run = simulate([step("a"), step("b", ["a"]), step("c"), step("d", ["b", "c"])], {
      ...quiet,
      failing: new Set(["d"]),
      failingUndo: new Set(["b"]),
    });
    expect(lines(run).slice(4).toSorted()).toEqual(["undo b failed", "undo c ok", "undo d ok"]);
    expect(run.actions.at(-1)?.action).toEqual({ type: "end", outcome: "failed" });
  });

  test("suspends when only waits are left, and a cancel undoes the step that waits", () => {
    const run = simulate([step("a"), step("b", ["a"])], { ...quiet, waiting: new Set(["a"]), cancelAt: 5 });
    expect(run.segments).toBe(2);
    expect(lines(run)).toEqual(["wait", "cancel", "undo a ok"]);
  });
});

describe("validateSaga", () => {
  const refusal = (steps: readonly SagaStep[]): string => {
    try {
      validateSaga(steps);
    } catch (error) {
      if (isAppError(error, "invalid_input")) return error.detail[0]!.constraint;
      throw error;
    }
    return "accepted";
  };

  test("accepts every acyclic graph", () => {
    fc.assert(
      fc.property(graphs, (steps) => {
        expect(refusal(steps)).toBe("accepted");
      }),
    );
  });

  test("refuses circles, unknown and duplicate ids, and too many steps, naming them", () => {
    expect(refusal([step("a", ["c"]), step("b", ["a"]), step("c", ["b"]), step("d")])).toContain("circle: a, b, c");
    expect(refusal([step("a", ["a"])])).toContain("circle: a");
    expect(refusal([step("a", ["x"])])).toContain('"x", which does not exist');
    expect(refusal([step("a"), step("a")])).toContain('"a" occurs twice');
    expect(refusal([step("")])).toContain("not empty");
    expect(refusal(Array.from({ length: sagaLimits.steps + 1 }, (_, i) => step(`s${i}`)))).toContain("at most");
  });
});
