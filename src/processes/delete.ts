/**
 * `delete`: stops a vApp and keeps it, with its disks, addresses and exposures, for a time in which `restore` brings it back. Then it is
 * purged. Its storage is charged until then.
 */
import { z } from "zod";
import type { ProcessDefinition } from "#process/contract.ts";
import { stopInSequence } from "#processes/graph.ts";
import { theLivingVappOf } from "#processes/subject.ts";

const deleteInput = z.strictObject({
  undoHours: z.int().min(1).max(720).default(24).meta({ description: "How long it can be restored before it is purged" }),
  graceSeconds: z.int().min(0).max(120).default(20).meta({ description: "How long a guest may take to shut down before it is forced" }),
});

export const deleteVapp: ProcessDefinition<z.infer<typeof deleteInput>> = {
  name: "delete",
  version: "2.0.0",
  summary: "Stop a vApp, keep it for a time in which it can be restored, then purge it",
  input: deleteInput,
  onFailure: "compensate",
  plan(facts, { undoHours, graceSeconds }) {
    const vapp = theLivingVappOf(facts, "delete");
    const stopped = new Set(vapp.machines.filter(({ state }) => state === "stopped").map(({ name }) => name));
    const steps = stopInSequence(vapp, "machine.stop", (name) => `Stop ${name}`, []).map((one) => {
      const { machine } = one.input as { machine: string };
      return { ...one, input: { machine, graceMs: graceSeconds * 1000, already: stopped.has(machine) } };
    });
    return {
      steps,
      desired: { ...vapp, desired: "stopped", retainHours: undoHours, secrets: [] },
      summary: `Delete ${vapp.name}: ${vapp.machines.length} machines, can be restored for ${undoHours} hours`,
      downtimeSeconds: 0,
      reversible: true,
    };
  },
};
