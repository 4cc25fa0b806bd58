/**
 * `repair`: brings what is missing, down, hung or changed by hand back to what is desired. Everything it does is an `ensure`, and it stops
 * where it fails: undoing a repair would take away what the vApp has.
 *
 * What can be brought back while machines run is. A change by hand that only a stop takes back makes the plan announce the downtime, so
 * that whoever orders it (automation promises none) decides about it.
 */
import { z } from "zod";
import type { MachineOfVapp, VappOfPlan } from "#domain/plan.ts";
import type { ProcessDefinition, Step } from "#process/contract.ts";
import { balancersOf, bringImages, configureInSequence, imageStepId, settled, step, stepId } from "#processes/graph.ts";
import { theRunningVappOf } from "#processes/subject.ts";

const repairInput = z.strictObject({});

/** A machine that is stopped, changed and started again. */
const restartSeconds = 30;
const graceMs = 20_000;

export const repair: ProcessDefinition<z.infer<typeof repairInput>> = {
  name: "repair",
  version: "2.0.0",
  summary: "Bring a vApp back to its desired state",
  input: repairInput,
  onFailure: "stop",
  plan(facts) {
    const vapp = theRunningVappOf(facts, "repair");
    const segments = vapp.segments.map(({ name }) => step("segment.ensure", name, `Check segment ${name}`, { segment: name }));
    const addresses = vapp.machines.map(({ name, segments: own }) => {
      const after = own.map((segment) => stepId("segment.ensure", segment));
      return step("address.ensure", name, `Check addresses of ${name}`, { machine: name }, after);
    });
    const endpointName = (id: string) => vapp.machines.find(({ endpointId }) => endpointId === id)!.endpointName;
    const images = bringImages(vapp.machines, endpointName);
    const network = [...segments, ...addresses].map(({ id }) => id);
    const machines = vapp.machines.flatMap((machine) => machineSteps(machine, [...network, imageStepId(machine, endpointName)]));
    const applications = configureInSequence(vapp.machines, vapp.tiers, (machine) => booted(vapp, machine));
    const exposures = vapp.exposures.map((exposure) => {
      const machine = vapp.machines.find(({ name }) => name === exposure.machine)!;
      return step("exposure.ensure", exposure.name, `Check exposure ${exposure.name}`, { exposure: exposure.name }, [settled(machine)]);
    });
    const steps = [...segments, ...addresses, ...images, ...machines, ...applications, ...balancing(vapp), ...exposures, ...leaving(vapp)];
    const stops = vapp.machines.some(needsStop);
    return {
      steps,
      desired: { ...vapp, desired: "running", secrets: [] },
      summary: `Repair ${vapp.name}: ${whatIsWrong(vapp)}`,
      downtimeSeconds: stops ? restartSeconds : 0,
      reversible: false,
    };
  },
};

/** It runs, and what was changed by hand does not come back while it does. */
function needsStop({ state, drift }: MachineOfVapp): boolean {
  return state === "running" && drift.some(({ stuck }) => stuck);
}

function machineSteps(machine: MachineOfVapp, after: readonly string[]): Step[] {
  const { name, endpointName } = machine;
  const ensured = (first: readonly string[], title: string) => step("machine.ensure", name, title, { machine: name }, first);
  if (needsStop(machine)) {
    const stop = step(
      "machine.stop",
      name,
      `Stop ${name} to take back what was changed`,
      { machine: name, graceMs, already: false },
      after,
    );
    return [stop, ensured([stop.id], `Bring ${name} back as specified on ${endpointName}`)];
  }
  const first = ensured(after, `${machine.state === "running" ? "Check" : "Bring back"} ${name} on ${endpointName}`);
  if (!machine.hung) return [first];
  return [first, step("machine.revive", name, `Make ${name} answer again`, { machine: name }, [first.id])];
}

/** The last step that concerns the machine itself. */
function booted(vapp: VappOfPlan, name: string): string[] {
  const machine = vapp.machines.find((candidate) => candidate.name === name)!;
  return [stepId(machine.hung && !needsStop(machine) ? "machine.revive" : "machine.ensure", name)];
}

/** A balancer that was restarted, or changed by hand, sends requests to every member again. */
function balancing(vapp: VappOfPlan): Step[] {
  return vapp.machines.flatMap((member) =>
    balancersOf(vapp.blueprint, vapp.machines, member.tier).map((balancer) => {
      const after = [member, vapp.machines.find(({ name }) => name === balancer)!].map(settled);
      return step(
        "balancer.join",
        `${balancer}/${member.name}`,
        `Check that ${balancer} sends requests to ${member.name}`,
        { balancer, member: member.name },
        after,
      );
    }),
  );
}

/** What an order that shrank the vApp left behind. */
function leaving(vapp: VappOfPlan): Step[] {
  return vapp.leaving.flatMap(({ name, tier }) => {
    const leaves = balancersOf(vapp.blueprint, vapp.machines, tier).map((balancer) =>
      step("balancer.leave", `${balancer}/${name}`, `Drain ${name}`, { balancer, member: name }, [stepId("context.apply", balancer)]),
    );
    const after = leaves.map(({ id }) => id);
    return [...leaves, step("machine.remove", name, `Remove machine ${name}`, { machine: name }, after)];
  });
}

function whatIsWrong(vapp: VappOfPlan): string {
  const wrong = [
    ["bring back", vapp.machines.filter(({ state }) => state !== "running")],
    ["revive", vapp.machines.filter(({ state, hung }) => state === "running" && hung)],
    ["take back changes of", vapp.machines.filter(({ state, drift }) => state === "running" && drift.length > 0)],
    ["remove", vapp.leaving],
  ] as const;
  const parts = wrong
    .filter(([, machines]) => machines.length > 0)
    .map(([verb, machines]) => `${verb} ${machines.map(({ name }) => name).join(", ")}`);
  return parts.length === 0 ? "check everything" : parts.join("; ");
}
