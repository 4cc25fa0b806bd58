/** `stop`: machines in reverse start sequence, asked first, forced after their grace. */
import { z } from "zod";
import type { ProcessDefinition } from "#process/contract.ts";
import { stopInSequence } from "#processes/graph.ts";
import { theLivingVappOf } from "#processes/subject.ts";

const stopInput = z.strictObject({
  graceSeconds: z.int().min(0).max(120).default(20).meta({ description: "How long a guest may take to shut down before it is forced" }),
});

export const stop: ProcessDefinition<z.infer<typeof stopInput>> = {
  name: "stop",
  version: "1.0.0",
  summary: "Stop a vApp in reverse start sequence",
  input: stopInput,
  onFailure: "compensate",
  plan(facts, input) {
    const vapp = theLivingVappOf(facts, "stop");
    const stopped = new Set(vapp.machines.filter(({ state }) => state === "stopped").map(({ name }) => name));
    const steps = stopInSequence(vapp, "machine.stop", (name) => `Stop ${name}`, []).map((one) => {
      const { machine } = one.input as { machine: string };
      return { ...one, input: { machine, graceMs: input.graceSeconds * 1000, already: stopped.has(machine) } };
    });
    return {
      steps,
      desired: { ...vapp, desired: "stopped", secrets: [] },
      summary: `Stop ${vapp.name}: ${vapp.machines.length} machines`,
      downtimeSeconds: 0,
      reversible: true,
    };
  },
};
