/** `volume-grow`: a larger data volume on every machine of a tier, while they run. Volumes never shrink, so it only goes forward. */
import { z } from "zod";
import { diskSizeSchema } from "#domain/blueprint.ts";
import { parseDiskSize } from "#domain/blueprint-render.ts";
import { nearestName } from "#domain/refusal.ts";
import type { ProcessDefinition } from "#process/contract.ts";
import { contextSyncs, step, stepId } from "#processes/graph.ts";
import { resizedMachine, sizeOf } from "#processes/resize.ts";
import { refuse, renderedAgain, theRunningVappOf, theTierOf } from "#processes/subject.ts";

const growInput = z.strictObject({
  tier: z.string().max(16).meta({ description: "Name of the tier" }),
  volume: z.string().max(16).meta({ description: "Name of the volume" }),
  size: diskSizeSchema.meta({ description: 'New size, such as "4 GiB"' }),
});

export const volumeGrow: ProcessDefinition<z.infer<typeof growInput>> = {
  name: "volume-grow",
  version: "1.0.0",
  summary: "Grow a data volume of a tier's machines",
  input: growInput,
  onFailure: "stop",
  plan(facts, { tier: name, volume, size }) {
    const vapp = theRunningVappOf(facts, "volume-grow");
    theTierOf(vapp, name, "volume-grow");
    const own = vapp.machines.filter(({ tier }) => tier === name);
    const sizeMiB = parseDiskSize(size);
    for (const machine of own) {
      const now = machine.volumes.find((candidate) => candidate.name === volume);
      const names = machine.volumes.map((candidate) => candidate.name);
      if (now === undefined) {
        refuse(
          `${machine.name} has no volume "${volume}"`,
          "a volume of the tier is grown",
          "volume-grow",
          nearestName(volume, names, "volume"),
        );
      }
      // The same size again finishes a change that stopped in the middle.
      if (sizeMiB >= now.sizeMiB) continue;
      const constraint = `volume ${volume} of ${machine.name} has ${now.sizeMiB} MiB and volumes never shrink`;
      refuse(`${size} is less than what is there`, constraint, "volume-grow", `use at least ${now.sizeMiB} MiB`);
    }
    const before = vapp.blueprint.overrides.volumes?.[name];
    const rendered = renderedAgain(vapp, { volumes: { [name]: { ...before, [volume]: sizeMiB } } });
    const grown = own.map((machine) => resizedMachine(rendered, machine));
    const steps = own.flatMap((machine, index) => {
      const change = { machine: machine.name, from: sizeOf(machine), to: sizeOf(grown[index]!) };
      const resized = step("machine.resize", machine.name, `Grow ${volume} of ${machine.name} to ${size}`, change);
      return [resized, ...contextSyncs([machine], [stepId("machine.resize", machine.name)])];
    });
    return {
      steps,
      desired: {
        ...vapp,
        machines: vapp.machines.map((machine) => grown[own.indexOf(machine)] ?? machine),
        blueprint: rendered,
        secrets: [],
      },
      summary: `Grow volume ${volume} of ${name} of ${vapp.name} to ${size}`,
      downtimeSeconds: 0,
      reversible: false,
    };
  },
};
