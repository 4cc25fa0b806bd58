/** What a process that changes an existing vApp may act on. */
import { AppError } from "#domain/error.ts";
import type { PlanFacts, VappOfPlan } from "#domain/plan.ts";

export function theVappOf(facts: PlanFacts, action: string): VappOfPlan {
  if (facts.vapp !== null && facts.vapp.state !== "deleted") return facts.vapp;
  throw new AppError("not_found", "there is no such vApp", {
    detail: [{ constraint: `${action} needs an existing vApp`, source: `process ${action}`, nearest: "list them with `strat vapp ls`" }],
  });
}

/** As `theVappOf`, for changes that make no sense while it is being deleted. */
export function theLivingVappOf(facts: PlanFacts, action: string): VappOfPlan {
  const vapp = theVappOf(facts, action);
  if (vapp.desired !== "deleted") return vapp;
  throw new AppError("conflict", `${vapp.name} is being deleted`, {
    detail: [{ constraint: `${action} needs a vApp that is to stay`, source: `process ${action}`, nearest: "deploy it again" }],
  });
}
