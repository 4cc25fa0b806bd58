/** Drift: what is different at an endpoint from what the order said. Pure; found by samplers and steps, repaired by orders. */
import type { Json } from "#domain/json.ts";

export interface Drift {
  /** `members`: of a machine that spreads requests, the machines it gives them to. */
  readonly name: "vcpus" | "memoryMiB" | "nics" | "volumes" | "members";
  readonly desired: Json;
  readonly observed: Json;
  /** A repair tried to bring it back while the machine runs and could not: only a stop helps. */
  readonly stuck: boolean;
}

interface Shape {
  readonly vcpus: number;
  readonly memoryMiB: number;
  readonly nics: readonly { readonly mac: string; readonly attachment: string }[];
  readonly volumes: readonly { readonly name: string; readonly sizeMiB: number }[];
}

/** Larger volumes are no drift: a volume is never shrunk. NICs and volumes nobody asked for are shown and left alone. */
export function driftOf(desired: Shape, observed: Shape, stuck: boolean): Drift[] {
  const drift: Drift[] = [];
  if (observed.vcpus !== desired.vcpus) drift.push({ name: "vcpus", desired: desired.vcpus, observed: observed.vcpus, stuck });
  if (observed.memoryMiB !== desired.memoryMiB)
    drift.push({ name: "memoryMiB", desired: desired.memoryMiB, observed: observed.memoryMiB, stuck });
  const nic = ({ mac, attachment }: { mac: string; attachment: string }) => `${mac} ${attachment}`;
  const there = new Set(observed.nics.map(nic));
  if (!desired.nics.every((one) => there.has(nic(one))))
    drift.push({ name: "nics", desired: desired.nics.map(nic), observed: observed.nics.map(nic), stuck });
  const sizes = new Map(observed.volumes.map(({ name, sizeMiB }) => [name, sizeMiB]));
  if (!desired.volumes.every(({ name, sizeMiB }) => (sizes.get(name) ?? 0) >= sizeMiB))
    drift.push({ name: "volumes", desired: listed(desired.volumes), observed: listed(observed.volumes), stuck });
  return drift;
}

/** Members that get no requests though they should. Members nobody asked for are shown and left alone. */
export function membersDrift(desired: readonly string[], taking: readonly string[]): Drift[] {
  if (desired.every((name) => taking.includes(name))) return [];
  return [{ name: "members", desired: desired.toSorted(), observed: taking.toSorted(), stuck: false }];
}

/** The endpoint knows the shape of a machine, the balancer its members: who looked at one part says nothing of the other. */
export function driftMerged(known: readonly Drift[], seen: readonly Drift[], part: "shape" | "members"): Drift[] {
  const isPart = ({ name }: Drift) => (name === "members") === (part === "members");
  return [...known.filter((one) => !isPart(one)), ...seen.filter(isPart)];
}

function listed(volumes: Shape["volumes"]): Json {
  return volumes.map(({ name, sizeMiB }) => ({ name, sizeMiB }));
}
