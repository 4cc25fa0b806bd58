/**
 * Named places at which a test may kill this process: `STRATIFORM_FAULT=<name>` or `<name>#<n>` for the n-th hit. SIGKILL, not an
 * exception: nothing gets a chance to clean up, as in a power cut. Without the variable it costs one comparison.
 */
import type { SagaPhase, SagaStep } from "#domain/saga.ts";

let armed = parse(process.env["STRATIFORM_FAULT"]);
let hits = 0;

/** As the variable does, later: for a process that first ends, unharmed, what its killed predecessor began. */
export function armFault(text: string): void {
  armed = parse(text);
  hits = 0;
}

function parse(text: string | undefined): { name: string; hit: number } | undefined {
  if (text === undefined || text === "") return undefined;
  const [name = "", hit = "1"] = text.split("#");
  return { name, hit: Number(hit) };
}

export function faultPoint(name: string): void {
  if (armed === undefined || armed.name !== name) return;
  hits += 1;
  if (hits === armed.hit) process.kill(process.pid, "SIGKILL");
}

export const stepFaults = ["before", "performed", "in-transaction", "committed"] as const;
export const runFaults = ["enqueued", "begun", "finishing", "finished"] as const;
/** Of a run with a step that waits, besides: between the entry that says so and the end of the segment, and after that. */
export const waitFaults = ["suspending", "suspended"] as const;

export function stepFault(phase: SagaPhase, stepId: string, at: (typeof stepFaults)[number]): string {
  return `${phase}:${stepId}:${at}`;
}

/** Every fault point a run of these steps can hit when none of them waits: `run:enqueued`, `do:<step>:performed`, ... */
export function faultPoints(steps: readonly SagaStep[]): string[] {
  const phases: readonly SagaPhase[] = ["do", "undo"];
  const ofSteps = phases.flatMap((phase) =>
    steps.filter((step) => phase === "do" || step.undoable).flatMap((step) => stepFaults.map((at) => stepFault(phase, step.id, at))),
  );
  return [...runFaults.map((at) => `run:${at}`), ...ofSteps];
}

/**
 * Deliberate defects, switched on by `STRATIFORM_SABOTAGE` in the child processes of one test only: they prove that the kill tests would
 * notice such a defect. `checkpoint-outside`: the checkpoint is not part of the transaction.
 */
export function isSabotaged(defect: "checkpoint-outside"): boolean {
  return process.env["STRATIFORM_SABOTAGE"] === defect;
}
