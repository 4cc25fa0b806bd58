/** `restore`: a deleted vApp comes back as it was, with the same disks and addresses. */
import { z } from "zod";
import type { ProcessDefinition } from "#process/contract.ts";
import { configureInSequence, step, stepId } from "#processes/graph.ts";
import { refuse, theVappOf } from "#processes/subject.ts";

const restoreInput = z.strictObject({
  stopped: z.boolean().default(false).meta({ description: "Keep it stopped" }),
});

export const restore: ProcessDefinition<z.infer<typeof restoreInput>> = {
  name: "restore",
  version: "1.0.0",
  summary: "Bring a deleted vApp back before it is purged",
  input: restoreInput,
  onFailure: "compensate",
  plan(facts, { stopped }) {
    const vapp = theVappOf(facts, "restore");
    if (vapp.desired === "deleted" || vapp.deleteAt === null) {
      const nearest = vapp.desired === "deleted" ? "deploy it again" : "nothing is to be done";
      refuse(`${vapp.name} is not to be restored`, "only a deleted vApp that is not purged yet is restored", "restore", nearest);
    }
    const machines = vapp.machines.map(({ name, state }) =>
      step("machine.start", name, `Start ${name}`, { machine: name, already: state === "running" }),
    );
    const applications = configureInSequence(vapp.machines, vapp.tiers, (machine) => [stepId("machine.start", machine)]);
    return {
      steps: stopped ? [] : [...machines, ...applications],
      desired: { ...vapp, desired: stopped ? "stopped" : "running", retainHours: null, secrets: [] },
      summary: `Restore ${vapp.name}: ${vapp.machines.length} machines`,
      downtimeSeconds: 0,
      reversible: true,
    };
  },
};
