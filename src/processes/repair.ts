/**
 * `repair`: brings what is missing or down back to what is desired. Everything it does is an `ensure`, and it stops where it fails:
 * undoing a repair would take away what the vApp has.
 */
import { z } from "zod";
import { AppError } from "#domain/error.ts";
import type { ProcessDefinition } from "#process/contract.ts";
import { bringImages, configureInSequence, imageStepId, settled, step, stepId } from "#processes/graph.ts";
import { theLivingVappOf } from "#processes/subject.ts";

const repairInput = z.strictObject({});

export const repair: ProcessDefinition<z.infer<typeof repairInput>> = {
  name: "repair",
  version: "1.0.0",
  summary: "Bring a vApp back to its desired state",
  input: repairInput,
  onFailure: "stop",
  plan(facts) {
    const vapp = theLivingVappOf(facts, "repair");
    if (vapp.desired !== "running") {
      throw new AppError("conflict", `${vapp.name} is meant to be ${vapp.desired}`, {
        detail: [
          {
            constraint: "only a vApp that is meant to run is repaired",
            source: "process repair",
            nearest: `start it: strat vapp start ${vapp.name}`,
          },
        ],
      });
    }
    const segments = vapp.segments.map(({ name }) => step("segment.ensure", name, `Check segment ${name}`, { segment: name }));
    const addresses = vapp.machines.map(({ name, segments: own }) => {
      const after = own.map((segment) => stepId("segment.ensure", segment));
      return step("address.ensure", name, `Check addresses of ${name}`, { machine: name }, after);
    });
    const endpointName = (id: string) => vapp.machines.find(({ endpointId }) => endpointId === id)!.endpointName;
    const images = bringImages(vapp.machines, endpointName);
    const network = [...segments, ...addresses].map(({ id }) => id);
    const machines = vapp.machines.map((machine) => {
      const title = `${machine.state === "running" ? "Check" : "Bring back"} ${machine.name} on ${machine.endpointName}`;
      return step("machine.ensure", machine.name, title, { machine: machine.name }, [...network, imageStepId(machine, endpointName)]);
    });
    const applications = configureInSequence(vapp.machines, vapp.tiers, (machine) => [stepId("machine.ensure", machine)]);
    const exposures = vapp.exposures.map((exposure) => {
      const machine = vapp.machines.find(({ name }) => name === exposure.machine)!;
      return step("exposure.ensure", exposure.name, `Check exposure ${exposure.name}`, { exposure: exposure.name }, [settled(machine)]);
    });
    const down = vapp.machines.filter(({ state }) => state !== "running").map(({ name }) => name);
    return {
      steps: [...segments, ...addresses, ...images, ...machines, ...applications, ...exposures],
      desired: { ...vapp, desired: "running", secrets: [] },
      summary: `Repair ${vapp.name}: ${down.length === 0 ? "check everything" : `bring back ${down.join(", ")}`}`,
      downtimeSeconds: 0,
      reversible: false,
    };
  },
};
