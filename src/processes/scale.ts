/**
 * `scale`: more or fewer machines of one tier. Growing undoes itself when it fails. Shrinking goes forward only: a balancer stops sending
 * requests to a machine before it goes, and what is gone cannot be brought back.
 */
import { z } from "zod";
import type { RenderedVapp } from "#domain/blueprint-render.ts";
import type { DesiredMachine, PlanFacts, VappOfPlan } from "#domain/plan.ts";
import type { ProcessDefinition, ProcessPlan, Step } from "#process/contract.ts";
import { balancersOf, bringImages, contextSyncs, imageStepId, settled, step, stepId } from "#processes/graph.ts";
import { desiredMachine, placeMachines } from "#processes/placing.ts";
import { refuse, renderedAgain, theRunningVappOf, theTierOf } from "#processes/subject.ts";

const scaleInput = z.strictObject({
  tier: z.string().max(16).meta({ description: "Name of the tier" }),
  count: z.int().min(0).max(200).meta({ description: "How many machines it is to have" }),
});

export const scale: ProcessDefinition<z.infer<typeof scaleInput>> = {
  name: "scale",
  version: "1.0.0",
  summary: "Change how many machines a tier has",
  input: scaleInput,
  onFailure: "compensate",
  plan(facts, { tier: name, count }) {
    const vapp = theRunningVappOf(facts, "scale");
    const tier = theTierOf(vapp, name, "scale");
    if (tier.scale === null) {
      const constraint = `tier ${name} declares no scale`;
      refuse(
        `${name} of ${vapp.name} does not scale`,
        constraint,
        "scale",
        "publish a version of the offering whose tier declares `scale`",
      );
    }
    const rendered = renderedAgain(vapp, { counts: { [name]: count } });
    const known = new Set(vapp.machines.map((machine) => machine.name));
    const added = rendered.machines.filter((machine) => !known.has(machine.name));
    const placement =
      added.length === 0 ? null : placeMachines(facts, added, rendered.source, { ids: [vapp.siteId], source: `the site of ${vapp.name}` });
    const created = added.map((machine) => desiredMachine(facts, machine, placement!, rendered.source));
    const stays = new Set(rendered.machines.map((machine) => machine.name));
    const leaving = vapp.machines.filter((machine) => !stays.has(machine.name));
    const staying = vapp.machines.filter((machine) => stays.has(machine.name));
    const exposures = rendered.exposures;
    const steps = [...grow(facts, vapp, rendered, created), ...shrink(vapp, staying, [...leaving, ...vapp.leaving])];
    return {
      steps,
      desired: { ...vapp, machines: [...staying, ...created], exposures, blueprint: rendered, secrets: [] },
      summary: `Scale ${name} of ${vapp.name} from ${vapp.machines.filter((machine) => machine.tier === name).length} to ${count}`,
      downtimeSeconds: 0,
      reversible: leaving.length === 0,
      ...(leaving.length > 0 ? { onFailure: "stop" as const } : {}),
    } satisfies ProcessPlan;
  },
};

/** New machines come up as in a deployment; then the others learn of them, and balancers send them requests. */
function grow(facts: PlanFacts, vapp: VappOfPlan, rendered: RenderedVapp, created: readonly DesiredMachine[]): Step[] {
  if (created.length === 0) return [];
  const endpointName = (id: string) => facts.endpoints.find((endpoint) => endpoint.id === id)!.name;
  const addresses = created.map(({ name }) => step("address.ensure", name, `Allocate addresses of ${name}`, { machine: name }));
  const images = bringImages(created, endpointName);
  const machines = created.map((machine) => {
    const title = `Create ${machine.kind === "vm" ? "VM" : "container"} ${machine.name} on ${endpointName(machine.endpointId)}`;
    const after = [...addresses.map(({ id }) => id), imageStepId(machine, endpointName)];
    return step("machine.ensure", machine.name, title, { machine: machine.name }, after);
  });
  const applications = created.flatMap(({ name, health }) => {
    const apply = step("context.apply", name, `Configure ${name}`, { machine: name }, [stepId("machine.ensure", name)]);
    if (health === null) return [apply];
    return [apply, step("health.wait", name, `Wait until ${name} is healthy`, { machine: name }, [apply.id])];
  });
  const up = created.map((machine) => settled(machine));
  const balancing = new Set(created.flatMap((machine) => balancersOf(vapp.blueprint, vapp.machines, machine.tier)));
  const balancers = vapp.machines.filter(({ name }) => balancing.has(name));
  const joins = created.flatMap((machine) =>
    balancersOf(vapp.blueprint, vapp.machines, machine.tier).map((balancer) =>
      step("balancer.join", `${balancer}/${machine.name}`, `Send requests to ${machine.name}`, { balancer, member: machine.name }, [
        settled(machine),
        stepId("context.sync", balancer),
      ]),
    ),
  );
  // First those that send requests to the new machines; the others can wait until they do, and would only slow them down.
  const others = vapp.machines.filter(({ name }) => !balancing.has(name));
  const syncs = [...contextSyncs(balancers, up), ...contextSyncs(others, [...up, ...joins.map(({ id }) => id)])];
  const exposures = rendered.exposures
    .filter(({ machine }) => created.some(({ name }) => name === machine))
    .map((exposure) => {
      const title = `Expose port ${exposure.port} of ${exposure.machine}`;
      const machine = created.find(({ name }) => name === exposure.machine)!;
      return step("exposure.ensure", exposure.name, title, { exposure: exposure.name }, [settled(machine)]);
    });
  return [...addresses, ...images, ...machines, ...applications, ...syncs, ...joins, ...exposures];
}

/** Requests end first, then the others forget the machine, then it goes. */
function shrink(vapp: VappOfPlan, staying: readonly DesiredMachine[], leaving: readonly DesiredMachine[]): Step[] {
  if (leaving.length === 0) return [];
  const names = new Set(leaving.map(({ name }) => name));
  const leaves = leaving.flatMap((machine) =>
    balancersOf(vapp.blueprint, staying, machine.tier).map((balancer) =>
      step("balancer.leave", `${balancer}/${machine.name}`, `Drain ${machine.name}`, { balancer, member: machine.name }),
    ),
  );
  const exposures = vapp.exposures
    .filter(({ machine }) => names.has(machine))
    .map(({ name }) => step("exposure.remove", name, `Close exposure ${name}`, { exposure: name }));
  const syncs = contextSyncs(
    staying,
    leaves.map(({ id }) => id),
  );
  const before = [...leaves, ...exposures, ...syncs].map(({ id }) => id);
  const removals = leaving.map(({ name }) => step("machine.remove", name, `Remove machine ${name}`, { machine: name }, before));
  return [...leaves, ...exposures, ...syncs, ...removals];
}
