/**
 * What the states of things mean to a reader: a tone (colour and shape of the sign before the word, so that colour alone says nothing)
 * and a sentence. A state this version does not know is shown by its word.
 */
export type Tone = "good" | "busy" | "bad" | "warn" | "idle";

export interface Meaning {
  readonly tone: Tone;
  readonly sentence: string;
}

const vapp: Readonly<Record<string, Meaning>> = {
  provisioning: { tone: "busy", sentence: "It is being made for the first time" },
  active: { tone: "good", sentence: "Everything ordered is there and answers" },
  degraded: { tone: "bad", sentence: "Something is not as ordered" },
  stopped: { tone: "idle", sentence: "Its machines are stopped, as ordered" },
  changing: { tone: "busy", sentence: "A run is changing it" },
  deleting: { tone: "busy", sentence: "It is being removed" },
  deleted: { tone: "idle", sentence: "It was removed" },
  failed: { tone: "bad", sentence: "The last run stopped and left it unfinished" },
};

const machine: Readonly<Record<string, Meaning>> = {
  planned: { tone: "busy", sentence: "Ordered, not made yet" },
  running: { tone: "good", sentence: "Seen running" },
  stopped: { tone: "idle", sentence: "Seen stopped" },
  paused: { tone: "warn", sentence: "Seen paused" },
  crashed: { tone: "bad", sentence: "It ended on its own" },
  missing: { tone: "bad", sentence: "Its endpoint does not have it any more" },
  unknown: { tone: "warn", sentence: "Its endpoint does not answer" },
  deleted: { tone: "idle", sentence: "Removed" },
};

const step: Readonly<Record<string, Meaning>> = {
  pending: { tone: "idle", sentence: "Waits for the steps before it" },
  running: { tone: "busy", sentence: "Being carried out" },
  waiting: { tone: "warn", sentence: "Waits for somebody or something" },
  ok: { tone: "good", sentence: "Done" },
  failed: { tone: "bad", sentence: "Did not work" },
  undoing: { tone: "warn", sentence: "Being taken back" },
  undone: { tone: "idle", sentence: "Taken back" },
  undo_failed: { tone: "bad", sentence: "Could not be taken back" },
};

const run: Readonly<Record<string, Meaning>> = {
  queued: { tone: "busy", sentence: "Waits for its turn" },
  running: { tone: "busy", sentence: "Being carried out" },
  waiting: { tone: "warn", sentence: "Waits for somebody or something" },
  succeeded: { tone: "good", sentence: "Everything was done" },
  compensated: { tone: "warn", sentence: "Something failed; what was done is taken back" },
  failed: { tone: "bad", sentence: "It stopped where it failed" },
};

const layer: Readonly<Record<string, Meaning>> = {
  "as desired": { tone: "good", sentence: "Everything desired was observed so, lately" },
  differs: { tone: "bad", sentence: "Something was observed to be otherwise" },
  unknown: { tone: "warn", sentence: "Something desired was not observed, or too long ago" },
  none: { tone: "idle", sentence: "The blueprint says there is nothing in this layer" },
};

const tables = { vapp, machine, step, run, layer } as const;
export type Noun = keyof typeof tables;

export function meaningOf(noun: Noun, state: string): Meaning {
  return tables[noun][state] ?? { tone: "warn", sentence: state };
}

/** What somebody should look at first. */
export function needsAttention(state: string): boolean {
  return meaningOf("vapp", state).tone === "bad";
}
