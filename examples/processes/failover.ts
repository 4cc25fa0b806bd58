/**
 * An example of a process of your own: failover of a tier in which one machine leads and the others follow it, for example a database
 * with streaming replication. It knows no product: which machine leads is a parameter of the offering (a number, the index in the tier), and
 * the images' hooks do the rest when they are told.
 *
 * The order of its steps is the whole point. First the old leader is proven stopped (step `machine.fence`; I6): by its endpoint, or by a
 * person's word on record when the endpoint does not answer. Only then is a follower told to lead, and then all others learn of it. Before
 * the proof a failure brings everything back; after it the run only goes forward. The old leader comes back with the next repair, as a follower.
 *
 * `repair` below takes the place of the built-in one: when the leader is down it fails over at once instead of waiting for the leader to
 * boot, and in all other cases does what the built-in does. Use: `strat up --process examples/processes/failover.ts`.
 */
import { z } from "zod";
import { renderBlueprint } from "#domain/blueprint-render.ts";
import { AppError } from "#domain/error.ts";
import type { MachineOfVapp, PlanFacts, VappOfPlan } from "#domain/plan.ts";
import type { ProcessDefinition, ProcessPlan } from "#process/contract.ts";
import { settled, step } from "#processes/graph.ts";
import { repair as builtInRepair } from "#processes/repair.ts";
import { theRunningVappOf } from "#processes/subject.ts";

/** Names as in offering `shop`. */
const conventions = { tier: "db", parameter: "primary" };

const failoverInput = z.strictObject({
  tier: z.string().max(16).default(conventions.tier).meta({ description: "Tier with a leader" }),
  parameter: z.string().max(64).default(conventions.parameter).meta({ description: "Parameter that holds the leader's index" }),
  to: z.int().min(0).max(199).optional().meta({ description: "Index of the machine that is to lead; default: the first that runs" }),
});
type FailoverInput = z.infer<typeof failoverInput>;

export const failover: ProcessDefinition<FailoverInput> = {
  name: "failover",
  version: "1.0.0",
  summary: "Make another machine of a tier its leader, after the old one is proven stopped",
  input: failoverInput,
  onFailure: "compensate",
  plan: (facts, input) => planFailover(theRunningVappOf(facts, "failover"), input),
};

export const repair: ProcessDefinition<Record<string, never>> = {
  ...(builtInRepair as ProcessDefinition<Record<string, never>>),
  version: "2.0.0+failover",
  plan(facts: PlanFacts, input) {
    const leader = facts.vapp === null ? null : leaderOf(facts.vapp, conventions);
    const isDown = leader !== null && (leader.state !== "running" || leader.hung);
    const canFail = isDown && facts.vapp!.machines.some((machine) => isCandidate(machine, leader));
    return canFail ? planFailover(theRunningVappOf(facts, "repair"), conventions) : builtInRepair.plan(facts, input);
  },
};

export const processes = [failover, repair];

function leaderOf(vapp: VappOfPlan, { tier, parameter }: { tier: string; parameter: string }): MachineOfVapp | null {
  const index = vapp.blueprint.parameters[parameter];
  return vapp.machines.find((machine) => machine.tier === tier && machine.ordinal === index) ?? null;
}

function isCandidate(machine: MachineOfVapp, leader: MachineOfVapp): boolean {
  return machine.tier === leader.tier && machine.name !== leader.name && machine.state === "running" && !machine.hung;
}

function planFailover(vapp: VappOfPlan, { tier, parameter, to }: FailoverInput | (typeof conventions & { to?: undefined })): ProcessPlan {
  const leader = leaderOf(vapp, { tier, parameter });
  if (leader === null)
    throw refused(
      `${vapp.name} has no leader`,
      `parameter ${parameter} holds the index of a machine of tier ${tier}`,
      "name tier and parameter",
    );
  const next = vapp.machines.find((machine) => isCandidate(machine, leader) && (to === undefined || machine.ordinal === to));
  if (next === undefined)
    throw refused("nobody can take over", `a follower of ${leader.name} must run and answer`, `repair it: strat vapp repair ${vapp.name}`);
  const parameters = { ...vapp.parameters, [parameter]: next.ordinal };
  const fence = step("machine.fence", leader.name, `Prove that ${leader.name} is stopped`, { machine: leader.name });
  const promote = step("context.sync", next.name, `Let ${next.name} lead`, { machine: next.name }, [fence.id]);
  const ready = step("health.wait", next.name, `Wait until ${next.name} leads`, { machine: next.name }, [promote.id]);
  const others = vapp.machines
    .filter((machine) => machine.name !== next.name && machine.name !== leader.name && machine.state === "running")
    .map(({ name }) =>
      step("context.sync", name, `Tell ${name} that ${next.name} leads`, { machine: name }, [
        next.health === null ? promote.id : settled(next),
      ]),
    );
  return {
    steps: [fence, promote, ...(next.health === null ? [] : [ready]), ...others],
    desired: {
      ...vapp,
      blueprint: renderBlueprint(vapp.offering, parameters, vapp.blueprint.overrides),
      parameters,
      secrets: [],
    },
    summary: `Fail over ${tier} of ${vapp.name} from ${leader.name} to ${next.name}`,
    downtimeSeconds: 0,
    reversible: false,
  };
}

function refused(message: string, constraint: string, nearest: string): AppError {
  return new AppError("conflict", message, { detail: [{ constraint, source: "process failover", nearest }] });
}
