/** `start`: machines side by side, applications in start sequence. */
import { z } from "zod";
import type { ProcessDefinition } from "#process/contract.ts";
import { configureInSequence, step, stepId } from "#processes/graph.ts";
import { theLivingVappOf } from "#processes/subject.ts";

const startInput = z.strictObject({});

export const start: ProcessDefinition<z.infer<typeof startInput>> = {
  name: "start",
  version: "1.0.0",
  summary: "Start a stopped vApp in its start sequence",
  input: startInput,
  onFailure: "compensate",
  plan(facts) {
    const vapp = theLivingVappOf(facts, "start");
    const machines = vapp.machines.map(({ name, state }) =>
      step("machine.start", name, `Start ${name}`, { machine: name, already: state === "running" }),
    );
    const applications = configureInSequence(vapp.machines, vapp.tiers, (machine) => [stepId("machine.start", machine)]);
    return {
      steps: [...machines, ...applications],
      desired: { ...vapp, desired: "running", secrets: [] },
      summary: `Start ${vapp.name}: ${vapp.machines.length} machines`,
      downtimeSeconds: 0,
      reversible: true,
    };
  },
};
