/** `purge`: removes everything a vApp is made of, outermost first. It only goes forward: what is gone cannot be brought back. */
import { z } from "zod";
import type { ProcessDefinition, Step } from "#process/contract.ts";
import { step, stopInSequence } from "#processes/graph.ts";
import { theVappOf } from "#processes/subject.ts";

const purgeInput = z.strictObject({
  /** Filled in when a run that holds the vApp was asked to cancel. */
  settle: z.string().optional(),
});

export const purge: ProcessDefinition<z.infer<typeof purgeInput>> = {
  name: "purge",
  version: "1.0.0",
  summary: "Remove a vApp and everything it is made of, for good",
  input: purgeInput,
  onFailure: "stop",
  plan(facts, input) {
    const { leaving, ...vapp } = theVappOf(facts, "purge");
    const whole = { ...vapp, leaving, machines: [...vapp.machines, ...leaving] };
    const settle: Step[] =
      input.settle === undefined ? [] : [step("run.settle", "before", "Wait until the run before has been undone", { run: input.settle })];
    const first = settle.map(({ id }) => id);
    const exposures = vapp.exposures.map(({ name }) => step("exposure.remove", name, `Close exposure ${name}`, { exposure: name }, first));
    const machines = stopInSequence(whole, "machine.remove", (name) => `Remove machine ${name}`, [
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
      desired: { ...whole, desired: "deleted", secrets: [] },
      summary: `Purge ${vapp.name}: ${whole.machines.length} machines`,
      downtimeSeconds: 0,
      reversible: false,
    };
  },
};
