/**
 * What breaks if a part of a vApp goes, computed from the blueprint and from what runs now. Sentences for people, or null when nothing
 * breaks. It says what follows from the declaration (who starts after whom, who balances whom, whose address is in whose configuration,
 * what is exposed); what an application makes of it, only the application knows.
 */
import type { LayerFacts, LayerMachine } from "#domain/layer-facts.ts";

type Graph = Pick<LayerFacts, "blueprint" | "machines" | "exposures" | "snapshots">;

export function machineImpact(graph: Graph, machine: LayerMachine): string | null {
  const others = graph.machines.filter((other) => other.tier === machine.tier && other.name !== machine.name && isUp(other));
  return sentences([
    ...balancing(graph, machine, others),
    ...pinned(graph, machine),
    ...exposed(graph, machine),
    ...dependents(graph, machine, others),
    ...machine.volumes.map(({ name }) => volumeImpact(graph, machine, name)),
  ]);
}

/** The volume's only copy, as far as we keep any; a copy the application makes is the application's. */
export function volumeImpact(graph: Graph, machine: LayerMachine, volume: string): string {
  const kept = graph.snapshots
    .filter((snapshot) => snapshot.state === "realised" && snapshot.takenAt !== null && snapshot.machines.includes(machine.name))
    .toSorted((a, b) => b.takenAt! - a.takenAt!)[0];
  return kept === undefined
    ? `volume ${volume} exists only here, no snapshot holds it`
    : `volume ${volume} is as of snapshot ${kept.name} again, what was written since is lost`;
}

export function segmentImpact(graph: Graph, segment: string): string | null {
  const on = graph.machines.filter(({ segments }) => segments.includes(segment));
  const cut = on.filter(({ segments }) => segments.length === 1).map(({ name }) => name);
  const ways = graph.exposures.filter((exposure) => exposure.segment === segment).map(({ name }) => name);
  return sentences([
    ...(on.length > 1 ? [`${list(on.map(({ name }) => name))} no longer reach each other over it`] : []),
    ...(cut.length > 0 ? [`${list(cut)} ${are(cut)} on no other segment`] : []),
    ...(ways.length > 0 ? [`no way in by ${list(ways)}`] : []),
  ]);
}

export function exposureImpact(graph: Graph, name: string): string {
  const remaining = graph.exposures.filter((other) => other.name !== name && other.port !== null && isUpNamed(graph, other.machine));
  return remaining.length === 0
    ? "the only way in: nobody outside reaches the vApp"
    : `the way in by ${list(remaining.map((other) => other.name))} remains`;
}

export function secretImpact(graph: Graph, secret: string): string | null {
  const users = graph.blueprint.tiers
    .filter(({ config }) => Object.values(config).some((value) => typeof value === "string" && mentions(value, `secret.${secret}`)))
    .map(({ name }) => name);
  return users.length === 0 ? null : `${list(users)} cannot be configured without it`;
}

export function endpointImpact(graph: Graph, endpoint: string): string | null {
  const on = graph.machines.filter((machine) => machine.endpoint === endpoint);
  if (on.length === 0) return null;
  const whole = [...new Set(on.map(({ tier }) => tier))].filter((tier) =>
    graph.machines.every((machine) => machine.tier !== tier || machine.endpoint === endpoint),
  );
  const all = on.length === graph.machines.length;
  if (all) return "every machine of the vApp is on it";
  return sentences([
    `${list(on.map(({ name }) => name))} ${are(on)} on it`,
    ...(whole.length > 0 ? [`all of ${list(whole)} would be gone`] : []),
  ]);
}

/** A tier that is balanced goes on while it has another member; a balancer that goes takes its tier out of reach. */
function balancing(graph: Graph, machine: LayerMachine, others: readonly LayerMachine[]): string[] {
  const { tiers } = graph.blueprint;
  const into = tiers.filter(({ balance }) => balance?.tier === machine.tier).map(({ name }) => name);
  const own = tiers.find(({ name }) => name === machine.tier)?.balance;
  return [
    ...(into.length === 0
      ? []
      : others.length === 0
        ? [`the last member of ${machine.tier} that runs: ${list(into)} has nowhere to send requests`]
        : [`${list(into)} goes on with ${list(others.map(({ name }) => name))}`]),
    ...(own !== undefined && own !== null && others.length === 0 ? [`requests to ${own.tier} pass through it alone`] : []),
  ];
}

/** Tiers whose configuration names this very machine do not go on with another one by themselves. */
function pinned(graph: Graph, machine: LayerMachine): string[] {
  const peers = graph.machines.some(({ tier, name }) => tier === machine.tier && name !== machine.name);
  const users = graph.blueprint.tiers
    .filter(({ name, config }) =>
      Object.values(config).some(
        (value) =>
          typeof value === "string" && (name !== machine.tier || peers) && namesMachine(value, machine, graph.blueprint.parameters),
      ),
    )
    .map(({ name }) => name);
  return users.length === 0 ? [] : [`${list(users)} ${users.length === 1 ? "is" : "are"} configured with its address and with no other`];
}

const reference = /\btier\.([a-z][a-z0-9]*)(?:\.(\d+)|\[\s*(?:(\d+)|([A-Za-z_]\w*))\s*\])/g;

function namesMachine(text: string, machine: LayerMachine, parameters: Readonly<Record<string, unknown>>): boolean {
  for (const [, tier, dotted, index, parameter] of text.matchAll(reference)) {
    const ordinal = Number(dotted ?? index ?? (parameter === undefined ? Number.NaN : parameters[parameter]));
    if (tier === machine.tier && ordinal === machine.ordinal) return true;
  }
  return false;
}

function exposed(graph: Graph, machine: LayerMachine): string[] {
  return graph.exposures
    .filter((exposure) => exposure.machine === machine.name)
    .map((exposure) => {
      const same = graph.exposures.filter((other) => other.name !== exposure.name && isUpNamed(graph, other.machine));
      const elsewhere = same.filter((other) => other.machine !== machine.name);
      return elsewhere.length === 0
        ? `the only way in (port ${exposure.targetPort}): nobody outside reaches the vApp`
        : `the way in by ${list(elsewhere.map(({ name }) => name))} remains`;
    });
}

/** Tiers that come after this one, directly or through others, when nothing of it is left. */
function dependents(graph: Graph, machine: LayerMachine, others: readonly LayerMachine[]): string[] {
  if (others.length > 0) return [];
  const found: string[] = [];
  for (let from = [machine.tier]; from.length > 0;) {
    const next = graph.blueprint.tiers
      .filter(({ name, after }) => !found.includes(name) && name !== machine.tier && after.some((tier) => from.includes(tier)))
      .map(({ name }) => name);
    found.push(...next);
    from = next;
  }
  return found.length === 0 ? [] : [`nothing of ${machine.tier} is left to ${list(found)}, which ${are(found, "depends", "depend")} on it`];
}

function isUp(machine: LayerMachine): boolean {
  const health = machine.facts.find(({ layer, name }) => layer === "application" && name === "health");
  return machine.state === "running" && machine.desired === "running" && health?.value !== "unhealthy";
}

function isUpNamed(graph: Graph, name: string): boolean {
  return graph.machines.some((machine) => machine.name === name && isUp(machine));
}

function mentions(text: string, name: string): boolean {
  return new RegExp(String.raw`\b${name.replaceAll(".", String.raw`\.`)}(?!\w)`).test(text);
}

function are(of: readonly unknown[], one = "is", many = "are"): string {
  return of.length === 1 ? one : many;
}

export function list(names: readonly string[]): string {
  if (names.length > 4) return `${names.slice(0, 3).join(", ")} and ${names.length - 3} more`;
  return names.length < 2 ? (names[0] ?? "") : `${names.slice(0, -1).join(", ")} and ${names.at(-1)}`;
}

function sentences(parts: readonly string[]): string | null {
  return parts.length === 0 ? null : parts.join("; ");
}
