/**
 * `snapshot`: all disks and volumes of all machines at one moment. Machines are paused side by side, kept, and go on: what one machine
 * wrote because of another is in both or in neither.
 */
import { z } from "zod";
import { snapshotLimits, snapshotNamePattern } from "#domain/snapshot.ts";
import type { ProcessDefinition } from "#process/contract.ts";
import { step, stepId } from "#processes/graph.ts";
import { refuse, theLivingVappOf } from "#processes/subject.ts";

const snapshotInput = z.strictObject({
  name: z.string().regex(snapshotNamePattern, "lower-case letters, digits and hyphens, at most 32 characters"),
});

const pauseSeconds = 2;

export const snapshot: ProcessDefinition<z.infer<typeof snapshotInput>> = {
  name: "snapshot",
  version: "1.0.0",
  summary: "Keep the state of all disks of a vApp, consistent across its machines",
  input: snapshotInput,
  onFailure: "compensate",
  plan(facts, { name }) {
    const vapp = theLivingVappOf(facts, "snapshot");
    if (vapp.snapshots.some((one) => one.name === name)) {
      refuse(`${vapp.name} has a snapshot "${name}"`, "names of a vApp's snapshots are unique", "snapshot", "choose another name");
    }
    if (vapp.snapshots.length >= snapshotLimits.perVapp) {
      const nearest = `delete one: strat vapp snapshot rm ${vapp.name} ${vapp.snapshots[0]!.name}`;
      refuse(`${vapp.name} has ${vapp.snapshots.length} snapshots`, `a vApp has at most ${snapshotLimits.perVapp}`, "snapshot", nearest);
    }
    for (const machine of vapp.machines) {
      const endpoint = facts.endpoints.find(({ id }) => id === machine.endpointId);
      if (endpoint?.snapshots === true && endpoint.pause) continue;
      refuse(
        `${machine.endpointName} takes no snapshots`,
        `every machine's endpoint must be able to pause and to keep disks; ${machine.name} is on ${machine.endpointName}`,
        "snapshot",
        "deploy it where the endpoint can",
      );
    }
    const pauses = vapp.machines
      .filter(({ state }) => state === "running")
      .map((machine) => step("machine.pause", machine.name, `Pause ${machine.name}`, { machine: machine.name }));
    const paused = pauses.map(({ id }) => id);
    const keeps = vapp.machines.map((machine) =>
      step("snapshot.ensure", machine.name, `Keep the disks of ${machine.name}`, { machine: machine.name, snapshot: name }, paused),
    );
    const kept = keeps.map(({ id }) => id);
    const resumes = pauses.map(({ input }) => {
      const { machine } = input as { machine: string };
      return step("machine.resume", machine, `Let ${machine} go on`, { machine }, [...kept, stepId("machine.pause", machine)]);
    });
    return {
      steps: [...pauses, ...keeps, ...resumes],
      desired: { ...vapp, snapshots: [...vapp.snapshots, { name }], secrets: [] },
      summary: `Snapshot ${name} of ${vapp.name}: ${vapp.machines.length} machines`,
      downtimeSeconds: pauses.length === 0 ? 0 : pauseSeconds,
      reversible: true,
    };
  },
};
