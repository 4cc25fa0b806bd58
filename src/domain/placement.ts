/**
 * Placement: which endpoint realises each machine of a vApp, as which kind, and why. Pure and deterministic: the same facts give the same
 * result, whatever the order they come in; every decision carries a sentence naming the facts that decided, and every endpoint that was
 * looked at carries its verdict.
 *
 * Invariants: no host is promised more than it has free; all machines of one vApp land in one site, because segments live in one site's
 * fabric; a refusal names constraint, source and nearest acceptable change (I10).
 *
 * It is not a scheduler: it moves nothing that already runs, and it keeps no state.
 */
import type { MachineKind } from "#domain/blueprint.ts";
import type { Refusal } from "#domain/error.ts";
import { assess, candidateFacts, compareText, decide, hostOf, kindReason, refusalOf, spreadKey } from "#domain/placement-candidate.ts";
import type { Assessment, Candidate, ImageFormat, Occupancy, PlacementEndpoint, PlacementMachine } from "#domain/placement-candidate.ts";

/** A machine that already has its place and counts for spreading; its memory is already missing from what is free. */
export interface PlacedMachine {
  readonly spreadGroup: string | null;
  readonly endpointId: string;
}

export interface PlacementRules {
  /** Only these sites; `source` is the policy, the plan's bound or the vApp that says so. */
  readonly sites?: { readonly ids: readonly string[]; readonly source: string };
  /** Refuse instead of putting two of one spread group on a host. */
  readonly spreadRequired?: boolean;
}

export interface PlacementInput {
  readonly machines: readonly PlacementMachine[];
  readonly endpoints: readonly PlacementEndpoint[];
  readonly placed?: readonly PlacedMachine[];
  readonly rules?: PlacementRules;
}

export interface Considered {
  readonly endpointId: string;
  readonly verdict: "chosen" | "possible" | "rejected";
  readonly reason: string;
}

export interface Assignment {
  readonly machine: string;
  readonly endpointId: string;
  readonly kind: MachineKind;
  /** The format of the image to use there. */
  readonly imageFormat: ImageFormat;
  /** A sentence naming the facts that decided. */
  readonly reason: string;
  /** Each endpoint of the site once. */
  readonly considered: readonly Considered[];
}

export interface Placement {
  /** The site of all assignments; null when no site may be used. */
  readonly siteId: string | null;
  /** By name of the machine. */
  readonly assignments: readonly Assignment[];
  /** Empty when every machine has a place. A placement with refusals must not be carried out. */
  readonly refusals: readonly Refusal[];
}

export function place(input: PlacementInput): Placement {
  const endpoints = [...input.endpoints].sort((a, b) => compareText(a.name, b.name) || compareText(a.id, b.id));
  // The largest machines first: they have the fewest places. Names break ties, so the order of the input has no influence.
  const machines = [...input.machines].sort((a, b) => b.memoryMiB - a.memoryMiB || b.vcpus - a.vcpus || compareText(a.name, b.name));
  const allowed = input.rules?.sites;
  const siteIds = [...new Set(endpoints.map((endpoint) => endpoint.siteId))].sort();
  const usable = allowed === undefined ? siteIds : siteIds.filter((siteId) => allowed.ids.includes(siteId));
  if (usable.length === 0) return { siteId: null, assignments: [], refusals: [noSite(allowed, siteIds)] };
  const attempts = usable.map((siteId) => placeInSite(siteId, machines, endpoints, input));
  // Fewest refusals, then the lowest cost, then the name of the first endpoint and the site: a total order.
  attempts.sort(
    (a, b) =>
      a.placement.refusals.length - b.placement.refusals.length ||
      a.cost - b.cost ||
      compareText(a.firstEndpoint, b.firstEndpoint) ||
      compareText(a.placement.siteId ?? "", b.placement.siteId ?? ""),
  );
  return attempts[0]!.placement;
}

interface Attempt {
  readonly placement: Placement;
  readonly cost: number;
  readonly firstEndpoint: string;
}

function placeInSite(
  siteId: string,
  machines: readonly PlacementMachine[],
  all: readonly PlacementEndpoint[],
  input: PlacementInput,
): Attempt {
  const endpoints = all.filter((endpoint) => endpoint.siteId === siteId);
  const occupancy = occupancyOf(endpoints, input.placed ?? []);
  const assignments: Assignment[] = [];
  const refusals: Refusal[] = [];
  let cost = 0;
  for (const machine of machines) {
    const assessment = assess(machine, endpoints, occupancy, input.rules?.spreadRequired ?? false);
    const best = assessment.candidates[0];
    if (best === undefined) {
      refusals.push(refusalOf(machine, assessment.rejections, siteId));
      continue;
    }
    occupy(occupancy, machine, best);
    cost += best.endpoint.costPerHour ?? 0;
    assignments.push(assignmentOf(machine, best, assessment));
  }
  assignments.sort((a, b) => compareText(a.machine, b.machine));
  return { placement: { siteId, assignments, refusals }, cost, firstEndpoint: endpoints[0]!.name };
}

function assignmentOf(machine: PlacementMachine, best: Candidate, { candidates, rejections }: Assessment): Assignment {
  const rival = candidates.find((candidate) => candidate.endpoint.id !== best.endpoint.id);
  const won =
    rival === undefined ? "no other endpoint can take it" : `preferred to ${rival.endpoint.name} because of ${decide(best, rival)!.words}`;
  const crowded =
    best.neighbours > 0 ? `; its group could not be spread further (${best.neighbours} already on ${best.endpoint.hostName})` : "";
  const reason = `${best.kind === "vm" ? "VM" : "Container"} on ${best.endpoint.name}: ${kindReason(machine, best)}; ${won}; ${candidateFacts(best)}${crowded}.`;
  // An endpoint may have been looked at for both kinds: what speaks for it comes first.
  const verdicts = new Map<string, Considered>();
  for (const candidate of candidates) {
    const endpointId = candidate.endpoint.id;
    const verdict = candidate === best ? "chosen" : "possible";
    if (!verdicts.has(endpointId)) verdicts.set(endpointId, { endpointId, verdict, reason: candidateFacts(candidate) });
  }
  for (const { endpoint, reason: obstacle } of rejections) {
    if (!verdicts.has(endpoint.id)) verdicts.set(endpoint.id, { endpointId: endpoint.id, verdict: "rejected", reason: obstacle });
  }
  return {
    machine: machine.name,
    endpointId: best.endpoint.id,
    kind: best.kind,
    imageFormat: best.imageFormat,
    reason,
    considered: [...verdicts.values()],
  };
}

/** Free on a host is the least that any of its endpoints says: they look at the same host at different moments. */
function occupancyOf(endpoints: readonly PlacementEndpoint[], placed: readonly PlacedMachine[]): Occupancy {
  const free: Occupancy["free"] = new Map();
  for (const endpoint of endpoints) {
    const known = free.get(hostOf(endpoint));
    free.set(hostOf(endpoint), {
      vcpus: Math.min(known?.vcpus ?? Infinity, endpoint.freeVcpus),
      memoryMiB: Math.min(known?.memoryMiB ?? Infinity, endpoint.freeMemoryMiB),
    });
  }
  const spread: Occupancy["spread"] = new Map();
  for (const { spreadGroup, endpointId } of placed) {
    const endpoint = endpoints.find((candidate) => candidate.id === endpointId);
    if (endpoint === undefined || spreadGroup === null) continue;
    const key = spreadKey(spreadGroup, endpoint);
    spread.set(key, (spread.get(key) ?? 0) + 1);
  }
  return { free, spread };
}

function occupy(occupancy: Occupancy, machine: PlacementMachine, candidate: Candidate): void {
  const free = occupancy.free.get(hostOf(candidate.endpoint))!;
  free.vcpus -= machine.vcpus;
  free.memoryMiB -= candidate.neededMiB;
  if (machine.spreadGroup === null) return;
  const key = spreadKey(machine.spreadGroup, candidate.endpoint);
  occupancy.spread.set(key, (occupancy.spread.get(key) ?? 0) + 1);
}

function noSite(allowed: PlacementRules["sites"], siteIds: readonly string[]): Refusal {
  if (allowed === undefined)
    return { constraint: "no endpoint is registered", source: "endpoints", nearest: "register a site with an endpoint" };
  const names = allowed.ids.join(", ") || "(none)";
  const nearest =
    siteIds.length === 0 ? "register an endpoint in an allowed site" : `allow one of the sites with endpoints: ${siteIds.join(", ")}`;
  return { constraint: `only the sites ${names} are allowed and none of them has an endpoint`, source: allowed.source, nearest };
}
