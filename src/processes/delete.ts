/** `delete`: everything a vApp is made of, outermost first. It only goes forward: what is gone cannot be brought back. */
import { z } from "zod";
import type { ProcessDefinition, Step } from "#process/contract.ts";
import { step, stopInSequence } from "#processes/graph.ts";
import { theVappOf } from "#processes/subject.ts";

const deleteInput = z.strictObject({
  /** Filled in when a run that holds the vApp was asked to cancel. */
  settle: z.string().optional(),
});

export const deleteVapp: ProcessDefinition<z.infer<typeof deleteInput>> = {
  name: "delete",
  version: "1.0.0",
  summary: "Delete a vApp and everything it is made of",
  input: deleteInput,
  onFailure: "stop",
  plan(facts, input) {
    const vapp = theVappOf(facts, "delete");
    const settle: Step[] =
      input.settle === undefined ? [] : [step("run.settle", "before", "Wait until the run before has been undone", { run: input.settle })];
    const first = settle.map(({ id }) => id);
    const exposures = vapp.exposures.map(({ name }) => step("exposure.remove", name, `Close exposure ${name}`, { exposure: name }, first));
    const machines = stopInSequence(vapp, "machine.remove", (name) => `Remove machine ${name}`, [
      ...first,
      ...exposures.map(({ id }) => id),
    ]);
    const segments = vapp.segments.map(({ name }) =>
      step(
        "segment.remove",
        name,
        `Remove segment ${name}`,
        { segment: name },
        [...first, ...exposures, ...machines].map((before) => (typeof before === "string" ? before : before.id)),
      ),
    );
    return {
      steps: [...settle, ...exposures, ...machines, ...segments],
      desired: { ...vapp, desired: "deleted", secrets: [] },
      summary: `Delete ${vapp.name}: ${vapp.machines.length} machines`,
      downtimeSeconds: 0,
      reversible: false,
    };
  },
};
