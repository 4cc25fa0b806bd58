/** `snapshot-delete`: a snapshot nobody needs any more. The vApp keeps its present state. */
import { z } from "zod";
import { nearestName } from "#domain/refusal.ts";
import type { ProcessDefinition } from "#process/contract.ts";
import { step } from "#processes/graph.ts";
import { refuse, theLivingVappOf } from "#processes/subject.ts";

const deleteInput = z.strictObject({ snapshot: z.string().max(32).meta({ description: "Name of the snapshot" }) });

export const snapshotDelete: ProcessDefinition<z.infer<typeof deleteInput>> = {
  name: "snapshot-delete",
  version: "1.0.0",
  summary: "Delete a snapshot of a vApp",
  input: deleteInput,
  onFailure: "stop",
  plan(facts, { snapshot: name }) {
    const vapp = theLivingVappOf(facts, "snapshot-delete");
    const snapshot = vapp.snapshots.find((one) => one.name === name);
    if (snapshot === undefined) {
      const names = vapp.snapshots.map((one) => one.name);
      return refuse(
        `${vapp.name} has no snapshot "${name}"`,
        "a snapshot of the vApp is deleted",
        "snapshot-delete",
        nearestName(name, names, "snapshot"),
      );
    }
    const machines = vapp.machines.filter((machine) => snapshot.machines.includes(machine.name));
    return {
      steps: machines.map((machine) =>
        step("snapshot.remove", machine.name, `Forget the kept disks of ${machine.name}`, { machine: machine.name, snapshot: name }),
      ),
      desired: { ...vapp, snapshots: vapp.snapshots.filter((one) => one.name !== name), secrets: [] },
      summary: `Delete snapshot ${name} of ${vapp.name}`,
      downtimeSeconds: 0,
      reversible: false,
    };
  },
};
