/** What a process that changes an existing vApp may act on. */
import { renderBlueprint, type RenderedTier, type RenderedVapp, type RenderOverrides } from "#domain/blueprint-render.ts";
import { AppError, type Refusal } from "#domain/error.ts";
import type { PlanFacts, VappOfPlan } from "#domain/plan.ts";
import { nearestName } from "#domain/refusal.ts";

export function theVappOf(facts: PlanFacts, action: string): VappOfPlan {
  if (facts.vapp !== null && facts.vapp.state !== "deleted") return facts.vapp;
  throw new AppError("not_found", "there is no such vApp", {
    detail: [{ constraint: `${action} needs an existing vApp`, source: `process ${action}`, nearest: "list them with `strat vapp ls`" }],
  });
}

/** As `theVappOf`, for changes that make no sense while it is being deleted or waits for its purge. */
export function theLivingVappOf(facts: PlanFacts, action: string): VappOfPlan {
  const vapp = theVappOf(facts, action);
  if (vapp.desired === "deleted") {
    refuse(`${vapp.name} is being purged`, `${action} needs a vApp that is to stay`, action, "deploy it again");
  }
  if (vapp.deleteAt !== null) {
    const constraint = `${vapp.name} was deleted and is purged at ${vapp.deleteAt}`;
    refuse(`${vapp.name} is deleted`, constraint, action, `bring it back: strat vapp restore ${vapp.name}`);
  }
  return vapp;
}

/** As `theLivingVappOf`, for changes of what runs. */
export function theRunningVappOf(facts: PlanFacts, action: string): VappOfPlan {
  const vapp = theLivingVappOf(facts, action);
  if (vapp.desired === "running") return vapp;
  return refuse(
    `${vapp.name} is meant to be ${vapp.desired}`,
    `${action} needs a vApp that is meant to run`,
    action,
    `start it: strat vapp start ${vapp.name}`,
  );
}

export function theTierOf(vapp: VappOfPlan, name: string, action: string): RenderedTier {
  const tier = vapp.blueprint.tiers.find((candidate) => candidate.name === name);
  if (tier !== undefined) return tier;
  const names = vapp.blueprint.tiers.map((candidate) => candidate.name);
  return refuse(`${vapp.name} has no tier "${name}"`, `${action} names a tier of the vApp`, action, nearestName(name, names, "tier"));
}

/** The vApp rendered again with something changed; what was changed before stays. */
export function renderedAgain(vapp: VappOfPlan, change: RenderOverrides, parameters = vapp.parameters): RenderedVapp {
  const { counts, sizes, volumes } = vapp.blueprint.overrides;
  return renderBlueprint(vapp.offering, parameters, {
    counts: { ...counts, ...change.counts },
    sizes: { ...sizes, ...change.sizes },
    volumes: { ...volumes, ...change.volumes },
  });
}

export function refuse(message: string, constraint: string, action: string, nearest: string): never {
  const detail: Refusal[] = [{ constraint, source: `process ${action}`, nearest }];
  throw new AppError("conflict", message, { detail });
}
