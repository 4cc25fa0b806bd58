/**
 * Drives one segment of one run: asks the interpreter, starts what it says, and feeds the journal back in order of `seq`.
 *
 * Why replay is exact: DBOS numbers the functions of a workflow in the order they are called, and what is called depends on nothing but the
 * journal, taken one entry at a time. Steps run in parallel and commit in any order, but their entries are numbered at commit and
 * taken in that order, live as well as after a crash. An entry that is read late changes nothing.
 */
import { assert } from "#domain/error.ts";
import type { Json } from "#domain/json.ts";
import { type JournalEntry, type RunOutcome, sagaNext, type SagaWork } from "#domain/saga.ts";
import { checkpointed } from "#engine/data-source.ts";
import { faultPoint } from "#engine/fault.ts";
import { finishRun } from "#engine/finish.ts";
import { lockRun, readJournal, type StoredRun } from "#engine/journal.ts";
import { stepAction, type StepCall, type StepHost } from "#engine/step.ts";
import { retryDatabase } from "#store/database.ts";

export interface DriverHost extends StepHost {
  readonly processId: string;
}

export class RunDriver {
  readonly #host: DriverHost;
  readonly #run: StoredRun;
  readonly #journal: JournalEntry[] = [];
  /** Entries that are known and not taken yet, by number. */
  readonly #inbox = new Map<number, JournalEntry>();
  readonly #inFlight = new Map<string, { work: SagaWork; settled: Promise<number>; quiet: Promise<unknown> }>();
  readonly #cancelled = new AbortController();
  /** Aborts when this driver gave up: its steps in flight must not go on. */
  readonly #abandoned = new AbortController();
  #lastCommit: Promise<unknown> = Promise.resolve();
  #failure: { readonly error: unknown } | undefined;
  #wakeUp = () => {};

  constructor(host: DriverHost, run: StoredRun) {
    this.#host = { ...host, stopping: AbortSignal.any([host.stopping, this.#abandoned.signal]) };
    this.#run = run;
  }

  /** Called by the watcher: somebody else (cancel, wake) may have written entries up to `seq`. */
  notice(seq: number): void {
    if (seq > this.#lastKnownSeq()) void this.#readNew();
  }

  /** Resolves when the segment is over: the run has ended or is suspended. */
  async drive(): Promise<RunOutcome | "suspended"> {
    try {
      return await this.#loop();
    } catch (error) {
      this.#abandoned.abort(error);
      throw error;
    }
  }

  async #loop(): Promise<RunOutcome | "suspended"> {
    await this.#begin();
    for (;;) {
      if (this.#host.draining.aborted) await this.#park();
      const action = sagaNext({
        steps: this.#run.steps,
        onFailure: this.#run.onFailure,
        journal: this.#journal,
        inFlight: this.#working(),
      });
      switch (action.type) {
        case "start":
          for (const work of action.work) this.#start(work);
          break;
        case "settle":
          await this.#takeNext();
          break;
        case "suspend":
          if (await this.#close("waiting")) return "suspended";
          await this.#takeNext();
          break;
        case "end":
          if (await this.#close(action.outcome)) return action.outcome;
          await this.#takeNext();
          break;
      }
    }
  }

  /** While the engine drains: resolves when nothing of this run is in flight any more. */
  async drained(): Promise<void> {
    await Promise.all([...this.#inFlight.values()].map((one) => one.quiet));
    await this.#lastCommit;
  }

  /** The engine closes: leave the workflow pending for whoever comes next. */
  #park(): Promise<never> {
    return new Promise(() => {});
  }

  #working(): SagaWork[] {
    return [...this.#inFlight.values()].map((one) => one.work);
  }

  /** Everything journalled before this checkpoint is the base of the segment; what follows is replayed one by one. */
  async #begin(): Promise<void> {
    const { id } = this.#run;
    faultPoint("run:enqueued");
    const baseSeq = await checkpointed("begin", {
      prepare: () => Promise.resolve(null),
      commit: async (tx) => {
        const run = await lockRun(tx, id);
        assert(run !== undefined, "a run that is driven exists");
        await tx
          .updateTable("run")
          .set((eb) => ({ state: "running" as const, started_at: eb.fn.coalesce("started_at", eb.fn<Date>("now")) }))
          .where("id", "=", id)
          .execute();
        return run.journalSeq;
      },
    });
    faultPoint("run:begun");
    await retryDatabase(this.#host, () =>
      this.#host.database
        .updateTable("run")
        .set({ owner_process: this.#host.processId })
        .where("id", "=", id)
        .where("finished_at", "is", null)
        .execute(),
    );
    for (const entry of await retryDatabase(this.#host, () => readJournal(this.#host.database, id, 0))) {
      if (entry.seq <= baseSeq) this.#journal.push(entry);
      else this.#inbox.set(entry.seq, entry);
    }
  }

  /** Must not await anything before `checkpointed`: the order of these calls is the order of DBOS's function numbers. */
  #start(work: SagaWork): void {
    const step = this.#run.steps.find((one) => one.id === work.stepId);
    assert(step !== undefined, "the interpreter names steps of the run");
    const abandoned = Promise.withResolvers<void>();
    const call: StepCall = {
      runId: this.#run.id,
      step,
      phase: work.phase,
      woken: this.#wokenWith(work),
      cancelled: this.#cancelled.signal,
      outputs: (stepId) => this.#outputOf(stepId),
      inTurn: (commit) => this.#inTurn(commit),
      abandoned: () => abandoned.resolve(),
      committed: (entry) => this.#inbox.set(entry.seq, entry),
    };
    const settled = checkpointed(`${work.phase}:${work.stepId}`, stepAction(this.#host, call));
    this.#inFlight.set(work.stepId, { work, settled, quiet: Promise.race([settled.catch(() => {}), abandoned.promise]) });
    settled.then(
      (seq) => (this.#inbox.has(seq) || seq <= this.#journal.length ? this.#wakeUp() : void this.#readNew()),
      (error: unknown) => this.#fail(error),
    );
  }

  #inTurn<T>(commit: () => Promise<T>): Promise<T> {
    const mine = this.#lastCommit.then(commit);
    this.#lastCommit = mine.catch(() => {});
    return mine;
  }

  #fail(error: unknown): void {
    this.#failure ??= { error };
    this.#wakeUp();
  }

  /** Takes exactly the next entry of the journal, waiting for it if need be. */
  async #takeNext(): Promise<void> {
    const seq = this.#journal.length + 1;
    let entry = this.#inbox.get(seq);
    while (entry === undefined) {
      if (this.#failure !== undefined) throw this.#failure.error;
      await new Promise<void>((resolve) => (this.#wakeUp = resolve));
      entry = this.#inbox.get(seq);
    }
    this.#inbox.delete(seq);
    if (entry.type === "step" || entry.type === "wait") await this.#landed(entry.stepId, seq);
    if (entry.type === "cancel") this.#cancelled.abort(new Error("the run was cancelled"));
    this.#journal.push(entry);
  }

  /** The entry's own step must have been started by us, in this replay or live; anything else would be another history. */
  async #landed(stepId: string, seq: number): Promise<void> {
    const one = this.#inFlight.get(stepId);
    assert(one !== undefined, `journal entry ${seq} belongs to step "${stepId}", which is in flight`);
    const settledSeq = await one.settled;
    assert(settledSeq === seq, `step "${stepId}" settled as entry ${settledSeq}, the journal says ${seq}`);
    this.#inFlight.delete(stepId);
  }

  /** Up to here every entry is known. An entry of our own may land behind one of somebody else's that we have not read yet. */
  #lastKnownSeq(): number {
    let seq = this.#journal.length;
    while (this.#inbox.has(seq + 1)) seq += 1;
    return seq;
  }

  async #readNew(): Promise<void> {
    try {
      const known = this.#journal.length;
      const entries = await retryDatabase({ ...this.#host, signal: this.#host.stopping }, () =>
        readJournal(this.#host.database, this.#run.id, known),
      );
      for (const entry of entries) if (entry.seq > this.#journal.length) this.#inbox.set(entry.seq, entry);
      this.#wakeUp();
    } catch (error) {
      if (!this.#host.stopping.aborted) this.#fail(error);
    }
  }

  /** Ends or suspends the run, unless the journal has grown meanwhile: then false, and the new entry decides. */
  async #close(state: RunOutcome | "waiting"): Promise<boolean> {
    const { id } = this.#run;
    const seenSeq = this.#journal.length;
    const isWaiting = state === "waiting";
    faultPoint(isWaiting ? "run:suspending" : "run:finishing");
    const closed = await checkpointed<null, boolean>(isWaiting ? "suspend" : "end", {
      prepare: () => Promise.resolve(null),
      commit: async (tx) => {
        const run = await lockRun(tx, id);
        assert(run !== undefined && run.journalSeq >= seenSeq, "a run keeps its journal");
        if (run.journalSeq > seenSeq) return false;
        if (state === "waiting") await tx.updateTable("run").set({ state, owner_process: null }).where("id", "=", id).execute();
        else await finishRun(tx, this.#host, id, state);
        return true;
      },
    });
    if (closed) faultPoint(isWaiting ? "run:suspended" : "run:finished");
    if (!closed) await this.#readNew();
    return closed;
  }

  #outputOf(stepId: string): Json | null {
    const entry = this.#journal.find((one) => one.type === "step" && one.stepId === stepId && one.phase === "do" && one.outcome === "ok");
    return entry?.type === "step" ? (entry.output ?? null) : null;
  }

  #wokenWith(work: SagaWork): Json | undefined {
    if (work.phase === "undo") return undefined;
    const entry = this.#journal.findLast((one) => one.type === "wake" && one.stepId === work.stepId);
    return entry?.type === "wake" ? entry.payload : undefined;
  }
}
