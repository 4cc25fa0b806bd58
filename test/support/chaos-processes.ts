/**
 * Processes besides the built-in ones that control planes under test have: `resize` where no machine changes while it runs, the failover
 * example, and every process that undoes itself with a last step that fails, named `scale-undone` and so on.
 */
import { z } from "zod";
import { AppError } from "#domain/error.ts";
import type { Json } from "#domain/json.ts";
import type { ProcessDefinition, StepKind } from "#process/contract.ts";
import { builtInProcesses } from "#processes/built-in.ts";
import { resize } from "#processes/resize.ts";
import { failover } from "../../examples/processes/failover.ts";

/** The simulated endpoints change running machines; here none can. */
export const resizeStopped: typeof resize = {
  ...resize,
  name: "resize-stopped",
  plan: (facts, input) =>
    resize.plan({ ...facts, endpoints: facts.endpoints.map((endpoint) => ({ ...endpoint, liveResize: false })) }, input),
};

const failing: StepKind<Record<string, never>, Json> = {
  kind: "test.fail",
  input: z.object({}) as never,
  attemptTimeoutMs: 10_000,
  deadlineMs: 10_000,
  effect: () => ({ creates: [], changes: [], removes: [] }),
  do: () => Promise.reject(new AppError("endpoint_refused", "the test refuses")),
  undo: "nothing",
};

/** Everything is done, then it fails. */
export function undone(process: ProcessDefinition<unknown>): ProcessDefinition<unknown> {
  return {
    ...process,
    name: `${process.name}-undone`,
    plan(facts, input) {
      const plan = process.plan(facts, input);
      const last = { id: "test.fail:end", kind: failing.kind, title: "Fail", input: {}, after: plan.steps.map(({ id }) => id) };
      return { ...plan, steps: [...plan.steps, last] };
    },
  };
}

const own = [resizeStopped, failover] as readonly ProcessDefinition<unknown>[];
/** A deployment is not among them: orders know it by its name. */
const undoable = [...builtInProcesses, ...own].filter(({ name, onFailure }) => onFailure === "compensate" && name !== "deploy");

export const processes: readonly ProcessDefinition<unknown>[] = [
  ...own,
  ...undoable.map((process, index) => ({ ...undone(process), ...(index === 0 ? { stepKinds: [failing as never] } : {}) })),
];
