/**
 * `resize`: another size for the machines of a tier. Where the endpoint can, while they run; otherwise one machine after the other is
 * stopped, changed and started, and a balancer sends it no requests meanwhile.
 */
import { z } from "zod";
import type { RenderedVapp } from "#domain/blueprint-render.ts";
import type { DesiredMachine, MachineOfVapp, PlanFacts, VappOfPlan } from "#domain/plan.ts";
import type { ProcessDefinition, Step } from "#process/contract.ts";
import { balancersOf, step, stepId } from "#processes/graph.ts";
import { sizeFacts } from "#processes/placing.ts";
import { refuse, renderedAgain, theLivingVappOf, theTierOf } from "#processes/subject.ts";

const resizeInput = z.strictObject({
  tier: z.string().max(16).meta({ description: "Name of the tier" }),
  size: z.string().max(31).meta({ description: "Name of the size: nano, tiny, small, ..." }),
});

/** What users of a machine notice when it is stopped, changed and started. */
const restartSeconds = 30;
const graceMs = 20_000;

export const resize: ProcessDefinition<z.infer<typeof resizeInput>> = {
  name: "resize",
  version: "1.0.0",
  summary: "Change the size of a tier's machines",
  input: resizeInput,
  onFailure: "compensate",
  plan(facts, { tier: name, size }) {
    const vapp = theLivingVappOf(facts, "resize");
    theTierOf(vapp, name, "resize");
    const rendered = renderedAgain(vapp, { sizes: { [name]: size } });
    const own = vapp.machines.filter(({ tier }) => tier === name);
    const resized = own.map((machine) => resizedMachine(rendered, machine));
    checkRoom(facts, own, resized);
    const live = (machine: MachineOfVapp) =>
      machine.state !== "running" || facts.endpoints.find(({ id }) => id === machine.endpointId)?.liveResize === true;
    const steps: Step[] = [];
    for (const [index, machine] of own.entries()) {
      const change = { machine: machine.name, from: sizeOf(machine), to: sizeOf(resized[index]!) };
      const last = steps.at(-1)?.id;
      const first = last === undefined ? [] : [last];
      steps.push(...(live(machine) ? [resizeStep(machine, change, first)] : stoppedResize(vapp, machine, change, first)));
    }
    const stops = own.some((machine) => !live(machine));
    return {
      steps,
      desired: {
        ...vapp,
        machines: vapp.machines.map((machine) => resized[own.indexOf(machine)] ?? machine),
        blueprint: rendered,
        secrets: [],
      },
      summary: `Resize ${name} of ${vapp.name} to ${size}${stops ? ", one machine after the other" : ""}`,
      downtimeSeconds: stops && own.length === 1 ? restartSeconds : 0,
      reversible: true,
    };
  },
};

export function sizeOf({ size, vcpus, memoryMiB, storageMiB, volumes }: DesiredMachine) {
  return { size, vcpus, memoryMiB, storageMiB, volumes };
}

export function resizedMachine(rendered: RenderedVapp, machine: MachineOfVapp): MachineOfVapp {
  const { size, volumes } = rendered.machines.find(({ name }) => name === machine.name)!;
  const total = (list: readonly { sizeMiB: number }[]) => list.reduce((sum, { sizeMiB }) => sum + sizeMiB, 0);
  return {
    ...machine,
    size,
    ...sizeFacts(size, rendered.source),
    volumes,
    storageMiB: machine.storageMiB - total(machine.volumes) + total(volumes),
  };
}

function checkRoom(facts: PlanFacts, before: readonly MachineOfVapp[], after: readonly MachineOfVapp[]): void {
  for (const endpoint of facts.endpoints) {
    const growth = after.reduce(
      (sum, machine, index) => (machine.endpointId === endpoint.id ? sum + machine.memoryMiB - before[index]!.memoryMiB : sum),
      0,
    );
    const free = endpoint.memoryMiB - endpoint.usedMemoryMiB;
    if (growth <= 0 || growth <= free) continue;
    refuse(
      `${endpoint.name} has no room for the new size`,
      `${growth} MiB more are needed on ${endpoint.hostName} and ${Math.max(0, free)} MiB are free`,
      "resize",
      "choose a smaller size, or free memory there",
    );
  }
}

type Change = { machine: string; from: ReturnType<typeof sizeOf>; to: ReturnType<typeof sizeOf> };

function resizeStep(machine: MachineOfVapp, change: Change, after: readonly string[]): Step {
  return step("machine.resize", machine.name, `Resize ${machine.name} to ${change.to.size}`, change, after);
}

function stoppedResize(vapp: VappOfPlan, { name, tier, health }: MachineOfVapp, change: Change, first: readonly string[]): Step[] {
  const balancers = balancersOf(vapp.blueprint, vapp.machines, tier);
  const leaves = balancers.map((balancer) =>
    step("balancer.leave", `${balancer}/${name}`, `Drain ${name}`, { balancer, member: name }, first),
  );
  const drained = leaves.length === 0 ? first : leaves.map(({ id }) => id);
  const applied = stepId("context.apply", name);
  const ready = health === null ? applied : stepId("health.wait", name);
  return [
    ...leaves,
    step("machine.stop", name, `Stop ${name}`, { machine: name, graceMs, already: false }, drained),
    step("machine.resize", name, `Resize ${name} to ${change.to.size}`, change, [stepId("machine.stop", name)]),
    step("machine.start", name, `Start ${name}`, { machine: name, already: false }, [stepId("machine.resize", name)]),
    step("context.apply", name, `Configure ${name}`, { machine: name }, [stepId("machine.start", name)]),
    ...(health === null ? [] : [step("health.wait", name, `Wait until ${name} is healthy`, { machine: name }, [applied])]),
    ...balancers.map((balancer) =>
      step("balancer.join", `${balancer}/${name}`, `Send requests to ${name}`, { balancer, member: name }, [ready]),
    ),
  ];
}
