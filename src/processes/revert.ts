/** `revert`: all disks back to a snapshot. Everything stops, goes back and starts again; what was written since is lost, so it only goes forward. */
import { z } from "zod";
import { nearestName } from "#domain/refusal.ts";
import type { ProcessDefinition } from "#process/contract.ts";
import { configureInSequence, step, stepId, stopInSequence } from "#processes/graph.ts";
import { refuse, theLivingVappOf } from "#processes/subject.ts";

const revertInput = z.strictObject({ snapshot: z.string().max(32).meta({ description: "Name of the snapshot" }) });

const downSeconds = 60;

export const revert: ProcessDefinition<z.infer<typeof revertInput>> = {
  name: "revert",
  version: "1.0.0",
  summary: "Bring all disks of a vApp back to a snapshot",
  input: revertInput,
  onFailure: "stop",
  plan(facts, { snapshot: name }) {
    const vapp = theLivingVappOf(facts, "revert");
    const names = vapp.snapshots.filter(({ state }) => state === "realised").map((one) => one.name);
    const snapshot = vapp.snapshots.find((one) => one.name === name && one.state === "realised");
    if (snapshot === undefined) {
      return refuse(
        `${vapp.name} has no snapshot "${name}"`,
        "a vApp goes back to one of its snapshots",
        "revert",
        nearestName(name, names, "snapshot"),
      );
    }
    const missing = vapp.machines.filter((machine) => !snapshot.machines.includes(machine.name)).map((machine) => machine.name);
    const gone = snapshot.machines.filter((machine) => !vapp.machines.some((one) => one.name === machine));
    if (missing.length > 0 || gone.length > 0) {
      refuse(
        `${vapp.name} has other machines than its snapshot "${name}"`,
        `the snapshot holds ${snapshot.machines.join(", ")}; ${[...missing.map((one) => `${one} is not in it: made anew since, or later`), ...gone.map((one) => `${one} is gone`)].join(", ")}`,
        "revert",
        "scale the vApp to what it was then, and revert; a machine made anew has no disks to go back to: take a new snapshot",
      );
    }
    const runs = vapp.desired === "running";
    const stops = stopInSequence(vapp, "machine.stop", (machine) => `Stop ${machine}`, []).map((one) => ({
      ...one,
      input: { ...(one.input as object), graceMs: 0, already: !runs },
    }));
    const stopped = stops.map(({ id }) => id);
    const reverts = vapp.machines.map((machine) =>
      step("snapshot.revert", machine.name, `Bring the disks of ${machine.name} back`, { machine: machine.name, snapshot: name }, stopped),
    );
    const reverted = reverts.map(({ id }) => id);
    const starts = vapp.machines.map((machine) =>
      step("machine.start", machine.name, `Start ${machine.name}`, { machine: machine.name, already: false }, reverted),
    );
    const applications = configureInSequence(vapp.machines, vapp.tiers, (machine) => [stepId("machine.start", machine)]);
    return {
      steps: [...stops, ...reverts, ...(runs ? [...starts, ...applications] : [])],
      desired: { ...vapp, secrets: [] },
      summary: `Revert ${vapp.name} to snapshot ${name}`,
      downtimeSeconds: runs ? downSeconds : 0,
      reversible: false,
    };
  },
};
