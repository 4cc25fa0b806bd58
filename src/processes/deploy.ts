/** `deploy`: a vApp from an offering. Networks and images first, machines side by side, applications in start sequence, then exposure. */
import { z } from "zod";
import { renderBlueprint, type RenderedVapp } from "#domain/blueprint-render.ts";
import { AppError } from "#domain/error.ts";
import type { DesiredMachine, PlanFacts } from "#domain/plan.ts";
import { vappNamePattern } from "#domain/vapp.ts";
import type { ProcessDefinition, Step } from "#process/contract.ts";
import { bringImages, configureInSequence, imageStepId, settled, step, stepId } from "#processes/graph.ts";
import { desiredMachine, placeMachines, type SiteRule } from "#processes/placing.ts";

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
    const placement = placeMachines(facts, rendered.machines, rendered.source, siteRule(facts, input.site));
    const machines = rendered.machines.map((machine) => desiredMachine(facts, machine, placement, rendered.source));
    return {
      steps: deploySteps(facts, rendered, machines),
      desired: {
        desired: "running",
        siteId: placement.siteId!,
        machines,
        segments: rendered.segments,
        exposures: rendered.exposures,
        snapshots: [],
        blueprint: rendered,
        parameters: input.parameters,
        secrets: rendered.secrets,
      },
      summary: `Deploy ${input.name ?? input.offering}: ${machines.length} machines`,
      downtimeSeconds: 0,
      reversible: true,
    };
  },
};

function siteRule(facts: PlanFacts, siteName: string | undefined): SiteRule | null {
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
  return site === undefined ? null : { ids: [site.id], source: "the order's input" };
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
