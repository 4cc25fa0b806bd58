/**
 * `reconfigure`: other values for parameters of the offering, carried into every machine by its configuration. Which machines there are
 * does not change: that is what `scale` and `resize` are for.
 */
import { z } from "zod";
import type { ProcessDefinition } from "#process/contract.ts";
import { settled, step, stepId } from "#processes/graph.ts";
import { refuse, renderedAgain, theRunningVappOf } from "#processes/subject.ts";

const reconfigureInput = z.strictObject({
  parameters: z.record(z.string().max(64), z.json()).meta({ description: "Parameters that change; the others stay" }),
});

export const reconfigure: ProcessDefinition<z.infer<typeof reconfigureInput>> = {
  name: "reconfigure",
  version: "1.0.0",
  summary: "Change parameters of a vApp and bring its machines up to date",
  input: reconfigureInput,
  onFailure: "compensate",
  plan(facts, input) {
    const vapp = theRunningVappOf(facts, "reconfigure");
    const parameters = { ...vapp.parameters, ...input.parameters };
    // Counts people chose by scaling stay; so parameters that only count machines change nothing here.
    const counts = Object.fromEntries(vapp.blueprint.tiers.map(({ name, count }) => [name, count]));
    const rendered = renderedAgain(vapp, { counts }, parameters);
    for (const machine of rendered.machines) {
      const before = vapp.blueprint.machines.find(({ name }) => name === machine.name);
      if (before?.image === machine.image && before.size === machine.size) continue;
      refuse(
        `${machine.name} would become another machine`,
        "reconfigure changes the configuration of machines, not what they are",
        "reconfigure",
        "use `strat vapp resize` for sizes, and deploy anew for images",
      );
    }
    const afterOf = new Map(vapp.tiers.map((tier) => [tier.name, tier.after]));
    const ready = (machine: { name: string; health: unknown }) =>
      machine.health === null ? stepId("context.sync", machine.name) : settled({ ...machine, tier: "" });
    const steps = vapp.machines.flatMap((machine) => {
      const before = vapp.machines.filter((other) => afterOf.get(machine.tier)?.includes(other.tier)).map(ready);
      const sync = step("context.sync", machine.name, `Configure ${machine.name}`, { machine: machine.name }, before);
      if (machine.health === null) return [sync];
      return [sync, step("health.wait", machine.name, `Wait until ${machine.name} is healthy`, { machine: machine.name }, [sync.id])];
    });
    return {
      steps,
      desired: { ...vapp, blueprint: rendered, parameters, secrets: [] },
      summary: `Reconfigure ${vapp.name}: ${Object.entries(input.parameters)
        .map(([name, value]) => `${name}=${JSON.stringify(value)}`)
        .join(", ")}`,
      downtimeSeconds: 0,
      reversible: true,
    };
  },
};
