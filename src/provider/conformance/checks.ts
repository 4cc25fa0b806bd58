import { channelChecks } from "#provider/conformance/channel-checks.ts";
import { connectionChecks } from "#provider/conformance/connection-checks.ts";
import { imageChecks } from "#provider/conformance/image-checks.ts";
import { driftChecks } from "#provider/conformance/drift-checks.ts";
import { lacksChecks } from "#provider/conformance/lacks-checks.ts";
import { machineChecks } from "#provider/conformance/machine-checks.ts";
import { ownershipChecks } from "#provider/conformance/ownership-checks.ts";
import { pauseChecks } from "#provider/conformance/pause-checks.ts";
import { snapshotChecks } from "#provider/conformance/snapshot-checks.ts";
import type { ConformanceCheck } from "#provider/conformance/subject.ts";
import { volumeChecks } from "#provider/conformance/volume-checks.ts";
import type { ProviderCapabilities } from "#provider/contract.ts";

/** Every property a provider must have, whatever it lacks. The names are unique: sabotage tests pick checks by name. */
export const conformanceChecks: readonly ConformanceCheck[] = [
  ...connectionChecks,
  ...imageChecks,
  ...machineChecks,
  ...driftChecks,
  ...volumeChecks,
  ...pauseChecks,
  ...snapshotChecks,
  ...ownershipChecks,
  ...channelChecks,
];

/** The checks that apply to a provider with these capabilities, the missing ones by their `lacks:` check. */
export function checksFor(capabilities: ProviderCapabilities): readonly ConformanceCheck[] {
  const applies = ({ needs = [] }: ConformanceCheck) => [needs].flat().every((need) => capabilities[need]);
  return [...conformanceChecks.filter(applies), ...lacksChecks(capabilities)];
}
