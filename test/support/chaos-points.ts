/** The fault points of one phase of a plan, in the order in which a run passes them, as far as there is one. */
import type { PlanView } from "#domain/plan.ts";
import { faultPoints } from "#engine/fault.ts";

export function pointsOf(plan: PlanView, phase: "do" | "undo"): string[] {
  const steps = faultPoints(phase === "undo" ? plan.steps.toReversed() : plan.steps).filter((point) => point.startsWith(`${phase}:`));
  return [...(phase === "do" ? ["run:enqueued", "run:begun"] : []), ...steps, "run:finishing", "run:finished"];
}
