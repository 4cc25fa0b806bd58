/** `restart`: stop in reverse start sequence and start again, all machines or some. */
import { z } from "zod";
import { nearestName } from "#domain/refusal.ts";
import type { ProcessDefinition } from "#process/contract.ts";
import { configureInSequence, step, stepId, stopInSequence } from "#processes/graph.ts";
import { refuse, theRunningVappOf } from "#processes/subject.ts";

const restartInput = z.strictObject({
  machines: z.array(z.string().max(64)).min(1).max(200).optional().meta({ description: "Names of machines; default: all" }),
  graceSeconds: z.int().min(0).max(120).default(20).meta({ description: "How long a guest may take to shut down before it is forced" }),
});

const downSeconds = 30;

export const restart: ProcessDefinition<z.infer<typeof restartInput>> = {
  name: "restart",
  version: "1.0.0",
  summary: "Restart a vApp, or some of its machines, in sequence",
  input: restartInput,
  onFailure: "compensate",
  plan(facts, { machines: only, graceSeconds }) {
    const vapp = theRunningVappOf(facts, "restart");
    const names = vapp.machines.map(({ name }) => name);
    for (const name of only ?? []) {
      if (names.includes(name)) continue;
      refuse(`${vapp.name} has no machine "${name}"`, "restart names machines of the vApp", "restart", nearestName(name, names, "machine"));
    }
    const chosen = { ...vapp, machines: vapp.machines.filter(({ name }) => only === undefined || only.includes(name)) };
    const stops = stopInSequence(chosen, "machine.stop", (name) => `Stop ${name}`, []).map((one) => ({
      ...one,
      input: { ...(one.input as object), graceMs: graceSeconds * 1000, already: false },
    }));
    // Nothing starts before everything stopped, so that no machine comes up against one that is about to go.
    const stopped = stops.map(({ id }) => id);
    const starts = chosen.machines.map(({ name }) =>
      step("machine.start", name, `Start ${name}`, { machine: name, already: false }, stopped),
    );
    const applications = configureInSequence(chosen.machines, vapp.tiers, (machine) => [stepId("machine.start", machine)]);
    return {
      steps: [...stops, ...starts, ...applications],
      desired: { ...vapp, secrets: [] },
      summary: `Restart ${only === undefined ? vapp.name : `${only.join(", ")} of ${vapp.name}`}`,
      downtimeSeconds: downSeconds,
      reversible: true,
    };
  },
};
