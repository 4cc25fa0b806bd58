/** Ledger entries as the application writes them: which resource, what size, whose bill. */
import type { DesiredMachine } from "#domain/plan.ts";
import type { LedgerSize, LedgerState } from "#domain/rating.ts";
import type { LedgerEntry } from "#store/ledger.ts";
import type { ExposureRow, MachineRow, VappRow } from "#store/vapp.ts";

type Payer = Pick<VappRow, "id" | "organization_id" | "project_id" | "name">;

export function machineLedger(
  vapp: Payer,
  machine: Pick<MachineRow, "id" | "name" | "spec">,
  state: LedgerState,
  source: string,
): LedgerEntry {
  return {
    ...payerOf(vapp),
    resourceId: machine.id,
    kind: "machine",
    name: `${vapp.name}/${machine.name}`,
    size: machineSize(machine.spec as unknown as DesiredMachine),
    state,
    source,
  };
}

/** How large a machine is on the bill. */
export function machineSize({ kind, vcpus, memoryMiB, storageMiB }: DesiredMachine): LedgerSize {
  return { type: "machine", kind, vcpus, memoryMiB, storageMiB };
}

export function exposureLedger(vapp: Payer, exposure: Pick<ExposureRow, "id" | "name">, state: LedgerState, source: string): LedgerEntry {
  return {
    ...payerOf(vapp),
    resourceId: exposure.id,
    kind: "exposure",
    name: `${vapp.name}/${exposure.name}`,
    size: { type: "exposure" },
    state,
    source,
  };
}

function payerOf(vapp: Payer): Pick<LedgerEntry, "organizationId" | "projectId" | "vappId"> {
  return { organizationId: vapp.organization_id, projectId: vapp.project_id, vappId: vapp.id };
}
