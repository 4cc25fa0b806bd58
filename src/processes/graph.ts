/** Building blocks of step lists that several built-in processes share. */
import type { Step } from "#process/contract.ts";
import type { VappOfPlan } from "#domain/plan.ts";

export function stepId(kind: string, name: string): string {
  return `${kind}:${name}`;
}

export function step(kind: string, name: string, title: string, input: Step["input"], after: readonly string[] = []): Step {
  return { id: stepId(kind, name), kind, title, input, after: [...new Set(after)] };
}

interface NamedMachine {
  readonly name: string;
  readonly tier: string;
  readonly health: unknown;
}

/**
 * Configuration and health of machines in start sequence: the hooks of a tier run once all machines of the tiers it comes after are
 * healthy. Machines boot side by side before that; the sequence is about applications, not about power.
 */
export function configureInSequence(
  machines: readonly NamedMachine[],
  tiers: readonly { readonly name: string; readonly after: readonly string[] }[],
  booted: (machine: string) => readonly string[],
): Step[] {
  const afterOf = new Map(tiers.map((tier) => [tier.name, tier.after]));
  return machines.flatMap((machine) => {
    const before = machines.filter((other) => afterOf.get(machine.tier)?.includes(other.tier)).map((other) => settled(other));
    const apply = step("context.apply", machine.name, `Configure ${machine.name}`, { machine: machine.name }, [
      ...booted(machine.name),
      ...before,
    ]);
    if (machine.health === null) return [apply];
    return [apply, step("health.wait", machine.name, `Wait until ${machine.name} is healthy`, { machine: machine.name }, [apply.id])];
  });
}

/** The step after which a machine counts as up. */
export function settled(machine: NamedMachine): string {
  return stepId(machine.health === null ? "context.apply" : "health.wait", machine.name);
}

/** Stops in reverse start sequence: a machine stops after those that depend on its tier. */
export function stopInSequence(
  vapp: VappOfPlan,
  kind: "machine.stop" | "machine.remove",
  titleOf: (machine: string) => string,
  first: readonly string[],
): Step[] {
  const dependents = (tier: string) => vapp.tiers.filter((other) => other.after.includes(tier)).map((other) => other.name);
  return vapp.machines.map((machine) => {
    const later = vapp.machines.filter((other) => dependents(machine.tier).includes(other.tier)).map((other) => stepId(kind, other.name));
    return step(kind, machine.name, titleOf(machine.name), { machine: machine.name }, [...first, ...later]);
  });
}

interface PlacedMachine {
  readonly endpointId: string;
  readonly image: string;
  readonly imageDigest: string;
}

/** Id of the step that brings a machine's image to its endpoint. */
export function imageStepId(machine: PlacedMachine, endpointName: (id: string) => string): string {
  return stepId("image.ensure", `${machine.image}@${endpointName(machine.endpointId)}`);
}

/** Each image once per endpoint. */
export function bringImages(machines: readonly PlacedMachine[], endpointName: (id: string) => string): Step[] {
  const steps = machines.map((machine) => {
    const { endpointId: endpoint, image, imageDigest: digest } = machine;
    const name = endpointName(endpoint);
    return step("image.ensure", `${image}@${name}`, `Bring image ${image} to ${name}`, { endpoint, image, digest });
  });
  return [...new Map(steps.map((one) => [one.id, one])).values()];
}

/** Machines that were there before learn what changed; undone, they learn what was. */
export function contextSyncs(machines: readonly { readonly name: string }[], after: readonly string[]): Step[] {
  return machines.map(({ name }) => step("context.sync", name, `Bring the configuration of ${name} up to date`, { machine: name }, after));
}

/** Names of the machines that balance a tier. */
export function balancersOf(
  blueprint: { readonly tiers: readonly { readonly name: string; readonly balance: { readonly tier: string } | null }[] },
  machines: readonly { readonly name: string; readonly tier: string }[],
  tier: string,
): string[] {
  const balancing = new Set(blueprint.tiers.filter(({ balance }) => balance?.tier === tier).map(({ name }) => name));
  return machines.filter((machine) => balancing.has(machine.tier)).map(({ name }) => name);
}
