/** `deploy`: a vApp from an offering. Networks and images first, machines side by side, applications in start sequence, then exposure. */
import { z } from "zod";
import { renderBlueprint, type RenderedMachine, type RenderedVapp } from "#domain/blueprint-render.ts";
import { AppError } from "#domain/error.ts";
import { place, type Placement } from "#domain/placement.ts";
import type { DesiredMachine, PlanFacts } from "#domain/plan.ts";
import { defaultSizes, sizeNamed } from "#domain/size.ts";
import { vappNamePattern } from "#domain/vapp.ts";
import type { ProcessDefinition, Step } from "#process/contract.ts";
import { bringImages, configureInSequence, imageStepId, settled, step, stepId } from "#processes/graph.ts";

const deployInput = z.strictObject({
  offering: z.string().max(100).meta({ description: "name or name@version" }),
  name: z.string().regex(vappNamePattern, "lower-case letters, digits and hyphens, at most 40 characters").optional(),
  parameters: z.record(z.string().max(64), z.json()).default({}),
  site: z.string().max(64).optional().meta({ description: "Name of the site; default: wherever placement finds room" }),
});
export type DeployInput = z.infer<typeof deployInput>;

export const deploy: ProcessDefinition<DeployInput> = {
  name: "deploy",
  version: "1.0.0",
  summary: "Deploy a vApp from an offering",
  input: deployInput,
  onFailure: "compensate",
  plan(facts, input) {
    if (facts.offering === null) {
      throw new AppError("not_found", `there is no offering "${input.offering}"`, {
        detail: [
          {
            constraint: "a deployment names an offering of the catalogue",
            source: "catalogue",
            nearest: "list them with `strat offering ls`",
          },
        ],
      });
    }
    const rendered = renderBlueprint(facts.offering, input.parameters);
    const placement = placed(facts, rendered, input.site);
    const machines = rendered.machines.map((machine) => desiredMachine(facts, machine, placement, rendered.source));
    return {
      steps: deploySteps(facts, rendered, machines),
      desired: {
        desired: "running",
        siteId: placement.siteId!,
        machines,
        segments: rendered.segments,
        exposures: rendered.exposures,
        secrets: rendered.secrets,
      },
      summary: `Deploy ${input.name ?? input.offering}: ${machines.length} machines`,
      downtimeSeconds: 0,
      reversible: true,
    };
  },
};

function placed(facts: PlanFacts, rendered: RenderedVapp, siteName: string | undefined): Placement {
  const formats = new Map(facts.images.map((image) => [image.name, image.variants.map((variant) => variant.format)]));
  for (const machine of rendered.machines) {
    if (formats.has(machine.image)) continue;
    throw new AppError("conflict", `image ${machine.image} is not there yet`, {
      detail: [
        {
          constraint: `tier ${machine.tier} needs image ${machine.image}`,
          source: rendered.source,
          nearest: `build it: strat image build ${machine.image}`,
        },
      ],
    });
  }
  const site = facts.sites.find((candidate) => candidate.name === siteName);
  if (siteName !== undefined && site === undefined) {
    throw new AppError("not_found", `there is no site "${siteName}"`, {
      detail: [
        {
          constraint: "a deployment goes to a known site",
          source: "sites",
          nearest: `use one of: ${facts.sites.map(({ name }) => name).join(", ") || "(none yet)"}`,
        },
      ],
    });
  }
  const placement = place({
    machines: rendered.machines.map((machine) => ({
      ...machine,
      ...sizeFacts(machine.size, rendered.source),
      imageFormats: formats.get(machine.image)!,
    })),
    endpoints: facts.endpoints.map((endpoint) => ({
      ...endpoint,
      freeVcpus: endpoint.vcpus * vcpuOvercommit - endpoint.usedVcpus,
      freeMemoryMiB: endpoint.memoryMiB - endpoint.usedMemoryMiB,
      costPerHour: null,
    })),
    ...(site === undefined ? {} : { rules: { sites: { ids: [site.id], source: "the order's input" } } }),
  });
  if (placement.refusals.length > 0) throw new AppError("no_capacity", "not every machine has a place", { detail: placement.refusals });
  return placement;
}

/** vCPUs are time slices, not cores: this many are promised per hardware thread. */
const vcpuOvercommit = 8;

function sizeFacts(name: string, source: string): { vcpus: number; memoryMiB: number } {
  const { vcpus, memoryMiB } = sizeNamed(name, defaultSizes, source);
  return { vcpus, memoryMiB };
}

function desiredMachine(facts: PlanFacts, machine: RenderedMachine, placement: Placement, source: string): DesiredMachine {
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
    storageMiB: Math.ceil(variant.sizeBytes / (1024 * 1024)),
    reason: assignment.reason,
    segments: machine.segments,
    health: machine.health,
  };
}

function deploySteps(facts: PlanFacts, rendered: RenderedVapp, machines: readonly DesiredMachine[]): Step[] {
  const endpointName = (id: string) => facts.endpoints.find((endpoint) => endpoint.id === id)!.name;
  const segments = rendered.segments.map(({ name }) => step("segment.ensure", name, `Create segment ${name}`, { segment: name }));
  const addresses = machines.map(({ name, segments: own }) =>
    step(
      "address.ensure",
      name,
      `Allocate addresses of ${name}`,
      { machine: name },
      own.map((segment) => stepId("segment.ensure", segment)),
    ),
  );
  const images = bringImages(machines, endpointName);
  const allAddresses = addresses.map(({ id }) => id);
  const creations = machines.map((machine) => {
    const where = endpointName(machine.endpointId);
    const title = `Create ${machine.kind === "vm" ? "VM" : "container"} ${machine.name} on ${where}`;
    // Every seed holds the names of all machines, so all addresses come first.
    return step("machine.ensure", machine.name, title, { machine: machine.name }, [...allAddresses, imageStepId(machine, endpointName)]);
  });
  const applications = configureInSequence(machines, rendered.tiers, (machine) => [stepId("machine.ensure", machine)]);
  const exposures = rendered.exposures.map((exposure) => {
    const machine = machines.find(({ name }) => name === exposure.machine)!;
    return step("exposure.ensure", exposure.name, `Expose port ${exposure.port} of ${exposure.machine}`, { exposure: exposure.name }, [
      settled(machine),
    ]);
  });
  return [...segments, ...addresses, ...images, ...creations, ...applications, ...exposures];
}
