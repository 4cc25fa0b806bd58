/** All standard kinds of step, by name: what processes put into their plans. */
import type { Json } from "#domain/json.ts";
import type { StepKind } from "#process/contract.ts";
import type { Platform } from "#app/context.ts";
import { balancerJoin, balancerLeave } from "#app/steps/balancer.ts";
import { machinePause, machineResize, machineResume, snapshotEnsure, snapshotRemove, snapshotRevert } from "#app/steps/day-two.ts";
import { contextApply, contextSync, healthWait, runSettle } from "#app/steps/guest.ts";
import { machineFence, machineRevive } from "#app/steps/recovery.ts";
import { imageEnsure, machineEnsure, machineRemove, machineStart, machineStop } from "#app/steps/machine.ts";
import { addressEnsureStep, exposureEnsure, exposureRemove, segmentEnsure, segmentRemove } from "#app/steps/network.ts";

export type AnyStepKind = StepKind<unknown, Json>;

/** Standard kinds and those of the installed processes. */
export function stepKinds(platform: Platform): ReadonlyMap<string, AnyStepKind> {
  const standard: AnyStepKind[] = [
    segmentEnsure,
    segmentRemove,
    addressEnsureStep,
    exposureEnsure,
    exposureRemove,
    imageEnsure,
    machineEnsure,
    machineStart,
    machineStop,
    machineRemove,
    machineResize,
    machineRevive,
    machineFence,
    machinePause,
    machineResume,
    snapshotEnsure,
    snapshotRevert,
    snapshotRemove,
    contextApply,
    contextSync,
    healthWait,
    balancerJoin,
    balancerLeave,
    runSettle,
  ].map((make) => make(platform));
  const own = [...platform.processes.values()].flatMap((process) => process.stepKinds ?? []);
  return new Map([...standard, ...own].map((kind) => [kind.kind, kind]));
}
