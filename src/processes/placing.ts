/** Places for new machines, and what they are to be there: shared by every process that makes machines. */
import type { RenderedMachine } from "#domain/blueprint-render.ts";
import { AppError } from "#domain/error.ts";
import { place, type Placement } from "#domain/placement.ts";
import type { DesiredMachine, PlanFacts } from "#domain/plan.ts";
import { defaultSizes, sizeNamed } from "#domain/size.ts";

/** Where machines may go at all, and who says so. */
export interface SiteRule {
  readonly ids: readonly string[];
  readonly source: string;
}

/** Finds a place for every machine or refuses, naming what stands against it. */
export function placeMachines(facts: PlanFacts, machines: readonly RenderedMachine[], source: string, sites: SiteRule | null): Placement {
  const formats = new Map(facts.images.map((image) => [image.name, image.variants.map((variant) => variant.format)]));
  for (const machine of machines) {
    if (formats.has(machine.image)) continue;
    throw new AppError("conflict", `image ${machine.image} is not there yet`, {
      detail: [
        {
          constraint: `tier ${machine.tier} needs image ${machine.image}`,
          source,
          nearest: `build it: strat image build ${machine.image}`,
        },
      ],
    });
  }
  const placement = place({
    machines: machines.map((machine) => ({
      ...machine,
      ...sizeFacts(machine.size, source),
      imageFormats: formats.get(machine.image)!,
    })),
    endpoints: facts.endpoints.map((endpoint) => ({
      ...endpoint,
      freeVcpus: endpoint.vcpus * vcpuOvercommit - endpoint.usedVcpus,
      freeMemoryMiB: endpoint.memoryMiB - endpoint.usedMemoryMiB,
      costPerHour: null,
    })),
    placed: placedBefore(facts),
    ...(sites === null ? {} : { rules: { sites } }),
  });
  if (placement.refusals.length > 0) throw new AppError("no_capacity", "not every machine has a place", { detail: placement.refusals });
  return placement;
}

/** Machines of the vApp that are there count for spreading. */
function placedBefore({ vapp }: PlanFacts) {
  if (vapp === null) return [];
  const groups = new Map(vapp.blueprint.machines.map(({ name, spreadGroup }) => [name, spreadGroup]));
  return vapp.machines.map(({ name, endpointId }) => ({ endpointId, spreadGroup: groups.get(name) ?? null }));
}

/** vCPUs are time slices, not cores: this many are promised per hardware thread. */
const vcpuOvercommit = 8;

export function sizeFacts(name: string, source: string): { vcpus: number; memoryMiB: number } {
  const { vcpus, memoryMiB } = sizeNamed(name, defaultSizes, source);
  return { vcpus, memoryMiB };
}

export function desiredMachine(facts: PlanFacts, machine: RenderedMachine, placement: Placement, source: string): DesiredMachine {
  const assignment = placement.assignments.find((candidate) => candidate.machine === machine.name)!;
  const variant = facts.images
    .find((image) => image.name === machine.image)!
    .variants.find(({ format }) => format === assignment.imageFormat)!;
  return {
    name: machine.name,
    tier: machine.tier,
    ordinal: machine.index,
    kind: assignment.kind,
    image: machine.image,
    imageDigest: variant.digest,
    endpointId: assignment.endpointId,
    size: machine.size,
    ...sizeFacts(machine.size, source),
    storageMiB: Math.ceil(variant.sizeBytes / (1024 * 1024)) + machine.volumes.reduce((sum, { sizeMiB }) => sum + sizeMiB, 0),
    volumes: machine.volumes,
    reason: assignment.reason,
    segments: machine.segments,
    health: machine.health,
  };
}
