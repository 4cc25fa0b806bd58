/**
 * Which endpoints could take one machine, best first, and why the others cannot: one step of `place`. Pure.
 *
 * The kind follows from the goal, neutrally: strong isolation needs a kernel of its own, so a VM; anything else is met by a container, which
 * takes no memory beyond its own, with a VM as second choice where no container is possible.
 */
import type { Goal, MachineKind } from "#domain/blueprint.ts";
import { unreachable } from "#domain/error.ts";
import type { Refusal } from "#domain/error.ts";

/** Host memory one fully emulated guest takes beyond its own: 563-633 MiB were measured for one of 256 MiB. */
export const tcgOverheadMiB = 450;

export type ImageFormat = "qcow2" | "lxd" | "sim";

export interface PlacementMachine {
  readonly name: string;
  readonly kind: MachineKind | "auto";
  readonly goal: Goal;
  readonly vcpus: number;
  readonly memoryMiB: number;
  /** Machines of one group go to different hosts as far as there are any. */
  readonly spreadGroup: string | null;
  /** Data volumes it needs beside its system disk. Default none. */
  readonly volumes?: readonly unknown[];
  /** Formats the machine's image exists in. */
  readonly imageFormats: readonly ImageFormat[];
}

export interface PlacementEndpoint {
  readonly id: string;
  readonly name: string;
  readonly siteId: string;
  /** Endpoints with the same site and host share its vCPUs and memory. */
  readonly hostName: string;
  readonly machineKinds: readonly MachineKind[];
  readonly imageFormats: readonly ImageFormat[];
  /** Whether it keeps data volumes. Default true. */
  readonly volumes?: boolean;
  /** Free on the whole host, after everything promised there through any of its endpoints. */
  readonly freeVcpus: number;
  readonly freeMemoryMiB: number;
  readonly accelerator: "kvm" | "tcg" | "none";
  /** Host memory a VM takes beyond its own; see `tcgOverheadMiB`. */
  readonly overheadMiBPerVm: number;
  /** `observed`: it is only looked at, and never takes anything. */
  readonly state: "unchecked" | "ready" | "draining" | "unreachable" | "observed";
  /** What the machine costs there in an hour, for choosing the cheaper of equals; null when unknown. */
  readonly costPerHour: number | null;
}

/** What is still free on each host, and how many of each spread group are there. Keys by `hostOf` and `spreadKey`. */
export interface Occupancy {
  readonly free: Map<string, { vcpus: number; memoryMiB: number }>;
  readonly spread: Map<string, number>;
}

/** One way to realise the machine. */
export interface Candidate {
  readonly endpoint: PlacementEndpoint;
  readonly kind: MachineKind;
  readonly imageFormat: ImageFormat;
  /** Host memory it takes, overhead included. */
  readonly neededMiB: number;
  readonly freeMemoryMiB: number;
  /** Machines of its spread group already on the host. */
  readonly neighbours: number;
  /** 0 is the kind the goal asks for, 1 the second choice. */
  readonly kindRank: number;
}

type Obstacle = "mode" | "state" | "kind" | "format" | "volumes" | "spread" | "vcpus" | "memory";

export interface Rejection {
  readonly endpoint: PlacementEndpoint;
  readonly kind: MachineKind;
  readonly obstacle: Obstacle;
  readonly reason: string;
  /** How much is missing, for obstacles that have an amount. */
  readonly shortage: number;
}

export interface Assessment {
  /** Best first; empty when nothing can take the machine. */
  readonly candidates: readonly Candidate[];
  readonly rejections: readonly Rejection[];
}

export function assess(
  machine: PlacementMachine,
  endpoints: readonly PlacementEndpoint[],
  occupancy: Occupancy,
  spreadRequired: boolean,
): Assessment {
  const candidates: Candidate[] = [];
  const rejections: Rejection[] = [];
  for (const [kindRank, kind] of kindsFor(machine).entries()) {
    for (const endpoint of endpoints) {
      const candidate = candidateOf(machine, endpoint, kind, kindRank, occupancy);
      const rejected = obstacleOf(machine, candidate, occupancy, spreadRequired);
      if (rejected === null) candidates.push(candidate);
      else rejections.push({ endpoint, kind, ...rejected });
    }
  }
  candidates.sort((a, b) => decide(a, b)?.order ?? 0);
  return { candidates, rejections };
}

/** Acceptable kinds, preferred first. */
function kindsFor(machine: PlacementMachine): MachineKind[] {
  if (machine.kind !== "auto") return [machine.kind];
  return machine.goal.isolation === "strong" ? ["vm"] : ["container", "vm"];
}

/** Why this kind: the goal, in a neutral sentence. */
export function kindReason(machine: PlacementMachine, chosen: Candidate): string {
  if (machine.kind !== "auto") return "the blueprint asks for this kind";
  if (machine.goal.isolation === "strong") return "the goal is strong isolation, which a kernel of its own gives";
  if (chosen.kind === "vm") return "a container would meet the goal, but no endpoint can take one";
  if (machine.goal.density === "high") return "the goal is density, and a container takes no memory beyond its own";
  return "the goal asks for no strong isolation, and a container takes no memory beyond its own";
}

interface Decision {
  readonly order: number;
  /** Reads after "preferred to X because of". */
  readonly words: string;
}

/** The first difference decides. Names are last, so the order is total. */
export function decide(a: Candidate, b: Candidate): Decision | null {
  const costA = a.endpoint.costPerHour;
  const costB = b.endpoint.costPerHour;
  const criteria: [number, string][] = [
    [a.kindRank - b.kindRank, "the kind the goal prefers"],
    [a.neighbours - b.neighbours, `fewer machines of its group on the host (${a.neighbours} against ${b.neighbours})`],
    [emulation(a) - emulation(b), "hardware virtualization"],
    [costA === null || costB === null ? 0 : costA - costB, `a lower price (${costA} against ${costB} an hour)`],
    [b.freeMemoryMiB - a.freeMemoryMiB, `more free memory (${a.freeMemoryMiB} against ${b.freeMemoryMiB} MiB)`],
    [compareText(a.endpoint.name, b.endpoint.name), "its name, all else being equal"],
    [compareText(a.endpoint.id, b.endpoint.id), "its id, all else being equal"],
  ];
  const found = criteria.find(([order]) => order !== 0);
  return found === undefined ? null : { order: found[0], words: found[1] };
}

/** What the candidate has to offer, in figures. */
export function candidateFacts(candidate: Candidate): string {
  const overhead =
    candidate.kind === "vm" && candidate.endpoint.overheadMiBPerVm > 0 ? ` with ${candidate.endpoint.overheadMiBPerVm} MiB overhead` : "";
  return `takes ${candidate.neededMiB} of ${candidate.freeMemoryMiB} MiB free on ${candidate.endpoint.hostName}${overhead}`;
}

/** The refusal when there is no candidate, built from the obstacle that is closest to being removed. */
export function refusalOf(machine: PlacementMachine, rejections: readonly Rejection[], siteId: string): Refusal {
  const ranked = [...rejections].sort(
    (a, b) =>
      obstacleRank[b.obstacle] - obstacleRank[a.obstacle] || a.shortage - b.shortage || compareText(a.endpoint.name, b.endpoint.name),
  );
  const closest = ranked[0];
  if (closest === undefined)
    return {
      constraint: `${machine.name} needs an endpoint and the site has none`,
      source: `site ${siteId}`,
      nearest: "register an endpoint",
    };
  return {
    constraint: `${machine.name} cannot be placed: ${closest.reason}`,
    source: `endpoint ${closest.endpoint.name}`,
    nearest: nearestFor(machine, closest),
  };
}

export function hostOf(endpoint: PlacementEndpoint): string {
  return `${endpoint.siteId}/${endpoint.hostName}`;
}

export function spreadKey(spreadGroup: string, endpoint: PlacementEndpoint): string {
  return `${spreadGroup}@${hostOf(endpoint)}`;
}

/** By code unit: the locale of the control plane must not decide where something runs. */
export function compareText(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}

/** Order in which obstacles are met; the last one stands closest to success. */
const obstacleRank: Readonly<Record<Obstacle, number>> = {
  mode: -1,
  kind: 0,
  format: 1,
  volumes: 1,
  state: 2,
  spread: 3,
  vcpus: 4,
  memory: 5,
};

const formatsOf: Readonly<Record<MachineKind, readonly ImageFormat[]>> = { vm: ["qcow2", "sim"], container: ["lxd", "sim"] };

function candidateOf(
  machine: PlacementMachine,
  endpoint: PlacementEndpoint,
  kind: MachineKind,
  kindRank: number,
  occupancy: Occupancy,
): Candidate {
  const possible = formatsOf[kind].filter((format) => endpoint.imageFormats.includes(format) && machine.imageFormats.includes(format));
  return {
    endpoint,
    kind,
    // The first format stands in where there is none; `obstacleOf` then rejects the candidate.
    imageFormat: possible[0] ?? formatsOf[kind][0]!,
    neededMiB: machine.memoryMiB + (kind === "vm" ? endpoint.overheadMiBPerVm : 0),
    freeMemoryMiB: occupancy.free.get(hostOf(endpoint))?.memoryMiB ?? 0,
    neighbours: machine.spreadGroup === null ? 0 : (occupancy.spread.get(spreadKey(machine.spreadGroup, endpoint)) ?? 0),
    kindRank,
  };
}

function obstacleOf(
  machine: PlacementMachine,
  candidate: Candidate,
  occupancy: Occupancy,
  spreadRequired: boolean,
): Omit<Rejection, "endpoint" | "kind"> | null {
  const { endpoint, kind } = candidate;
  const found = (obstacle: Obstacle, reason: string, shortage = 0) => ({ obstacle, reason, shortage });
  if (endpoint.state === "observed") return found("mode", `${endpoint.name} is only observed: nothing is made there`);
  if (!endpoint.machineKinds.includes(kind))
    return found("kind", `${endpoint.name} does not realise ${kind === "vm" ? "VMs" : "containers"}`);
  if (!endpoint.imageFormats.includes(candidate.imageFormat) || !machine.imageFormats.includes(candidate.imageFormat)) {
    const formats = machine.imageFormats.join(", ") || "no format";
    return found(
      "format",
      `the image exists as ${formats} and ${endpoint.name} needs ${neededFormats(endpoint, kind).join(" or ") || "another kind"}`,
    );
  }
  if (endpoint.volumes === false && (machine.volumes ?? []).length > 0) return found("volumes", `${endpoint.name} keeps no data volumes`);
  if (endpoint.state !== "ready") return found("state", `${endpoint.name} is ${endpoint.state}`);
  if (spreadRequired && candidate.neighbours > 0)
    return found("spread", `${endpoint.hostName} already runs ${candidate.neighbours} of group ${machine.spreadGroup}`);
  const freeVcpus = occupancy.free.get(hostOf(endpoint))?.vcpus ?? 0;
  if (machine.vcpus > freeVcpus) {
    return found("vcpus", `it needs ${machine.vcpus} vCPU and ${endpoint.hostName} has ${freeVcpus} free`, machine.vcpus - freeVcpus);
  }
  if (candidate.neededMiB > candidate.freeMemoryMiB) {
    const overhead = candidate.neededMiB - machine.memoryMiB;
    const parts = overhead === 0 ? "" : ` (${machine.memoryMiB} and ${overhead} overhead of a VM)`;
    const reason = `it needs ${candidate.neededMiB} MiB${parts} and ${endpoint.hostName} has ${candidate.freeMemoryMiB} MiB free`;
    return found("memory", reason, candidate.neededMiB - candidate.freeMemoryMiB);
  }
  return null;
}

function neededFormats(endpoint: PlacementEndpoint, kind: MachineKind): ImageFormat[] {
  return formatsOf[kind].filter((format) => endpoint.imageFormats.includes(format));
}

function nearestFor(machine: PlacementMachine, { endpoint, kind, obstacle, shortage }: Rejection): string {
  switch (obstacle) {
    case "mode":
      return `name another site, or have ${endpoint.name} added again without --observe`;
    case "memory": {
      const fits = machine.memoryMiB - shortage;
      const free = `free ${shortage} MiB on ${endpoint.hostName}`;
      return fits > 0 ? `use a size with at most ${fits} MiB, or ${free}` : free;
    }
    case "vcpus": {
      const fits = machine.vcpus - shortage;
      const free = `free ${shortage} vCPU on ${endpoint.hostName}`;
      return fits > 0 ? `use a size with at most ${fits} vCPU, or ${free}` : free;
    }
    case "spread":
      return "add a host to the site, or use a smaller count";
    case "state":
      return endpoint.state === "unchecked" ? `wait until ${endpoint.name} was checked` : `bring ${endpoint.name} back to ready`;
    case "format":
      return `build the image as ${neededFormats(endpoint, kind).join(" or ")}`;
    case "volumes":
      return `register an endpoint that keeps data volumes, or take the volumes out of the tier`;
    case "kind":
      return `register an endpoint for ${kind === "vm" ? "VMs" : "containers"}`;
    default:
      return unreachable(obstacle);
  }
}

/** Full emulation costs about ten times the CPU time. */
function emulation(candidate: Candidate): number {
  return candidate.kind === "vm" && candidate.endpoint.accelerator === "tcg" ? 1 : 0;
}
