/** What connects and what protects: the layers network and security. */
import { exposureImpact, list, secretImpact, segmentImpact } from "#domain/layer-impact.ts";
import { declaredBy, factSeen, layerItem, recordSeen, setBy, whyOf, type Seen } from "#domain/layer-item.ts";
import { layerStaleMs, type LayerExposure, type LayerFacts, type LayerMachine, type LayerSegment } from "#domain/layer-facts.ts";
import type { Json } from "#domain/json.ts";
import type { LayerItem } from "#domain/layer-view.ts";

/** What a fabric's sampler writes of a thing that is not there. */
export const missingValue = "missing";

export function networkItems(facts: LayerFacts): LayerItem[] {
  return [
    ...facts.segments.map((segment) => segmentItem(facts, segment)),
    ...facts.machines.flatMap((machine) => machine.segments.map((segment) => nicItem(facts, machine, segment))),
    ...facts.exposures.map((exposure) => exposureItem(facts, exposure)),
  ];
}

function segmentItem(facts: LayerFacts, segment: LayerSegment): LayerItem {
  const seen = factSeen(segment.facts, "network", "segment", layerStaleMs.network);
  return layerItem(facts.at, {
    subject: { kind: "segment", name: segment.name },
    name: "prefix",
    desired: segment.prefix ?? "a free one",
    seen: seen === null ? null : { ...seen, value: memberOf(seen.value, "prefix") ?? seen.value },
    why: whyOf(
      `segment ${segment.name} of ${declaredBy(facts)}; prefix from the project's pool`,
      setBy(facts, ["segment.ensure"], segment.name),
    ),
    impact: segmentImpact(facts, segment.name),
  });
}

/** The address is ours to give; whether the machine still has the NIC it belongs to, its endpoint says. */
function nicItem(facts: LayerFacts, machine: LayerMachine, segmentName: string): LayerItem {
  const address = machine.addresses.find((candidate) => candidate.segment === segmentName);
  const segment = facts.segments.find(({ name }) => name === segmentName);
  const seen = machine.state === "missing" ? null : factSeen(machine.facts, "network", "nics", layerStaleMs.machine);
  const nics = Array.isArray(seen?.value) ? (seen.value as { mac: string; attachment: string }[]) : [];
  const nic = nics.find(({ mac }) => mac === address?.mac);
  const attached = nic !== undefined && nic.attachment === segment?.attachment;
  const text = address === undefined ? "an address" : address.address;
  return layerItem(facts.at, {
    subject: { kind: "machine", name: machine.name },
    name: `${segmentName} address`,
    desired: text,
    seen:
      seen === null || address === undefined
        ? null
        : { ...seen, value: attached ? text : nic === undefined ? `NIC ${address.mac} lost` : `NIC on ${nic.attachment}` },
    why: whyOf(
      `${declaredBy(facts, machine.tier)} is on segment ${segmentName}; named ${machine.name} there`,
      setBy(facts, ["address.ensure", "machine.ensure"], machine.name),
    ),
    impact: reachedBy(facts, machine, segmentName),
  });
}

function reachedBy(facts: LayerFacts, machine: LayerMachine, segment: string): string | null {
  const others = facts.machines.filter((other) => other.name !== machine.name && other.segments.includes(segment)).map(({ name }) => name);
  const way = facts.exposures.some((exposure) => exposure.machine === machine.name && exposure.segment === segment);
  const parts = [
    ...(others.length > 0 ? [`not reached by ${list(others)} over ${segment}`] : []),
    ...(way ? ["its exposure leads nowhere"] : []),
  ];
  return parts.length === 0 ? null : parts.join("; ");
}

function exposureItem(facts: LayerFacts, exposure: LayerExposure): LayerItem {
  const seen = factSeen(exposure.facts, "network", "exposure", layerStaleMs.network);
  const target = facts.machines
    .find(({ name }) => name === exposure.machine)
    ?.addresses.find(({ segment }) => segment === exposure.segment)?.address;
  const outside = exposure.port === null ? "a free port" : `${exposure.address}:${exposure.port}`;
  return layerItem(facts.at, {
    subject: { kind: "exposure", name: exposure.name },
    name: "way in",
    desired: `${outside} to ${target ?? exposure.machine}:${exposure.targetPort}`,
    seen: seen === null ? null : { ...seen, value: exposureText(seen.value) },
    why: whyOf(
      `tier exposes port ${exposure.targetPort} and the security layer permits it: ${declaredBy(facts)}`,
      setBy(facts, ["exposure.ensure"], exposure.name),
    ),
    impact: exposureImpact(facts, exposure.name),
  });
}

function exposureText(value: Json): Json {
  const from = memberOf(value, "listen");
  const to = memberOf(value, "target");
  return from === null || to === null ? value : `${String(from)} to ${String(to)}`;
}

export function securityItems(facts: LayerFacts): LayerItem[] {
  return [
    openingsItem(facts),
    ...facts.segments.filter(({ isolated }) => isolated).map((segment) => isolationItem(facts, segment)),
    ...facts.blueprint.secrets.map((secret) => secretItem(facts, secret)),
    ...verdictItems(facts),
  ];
}

/** What may be reached from outside, against what the fabric really opened. */
function openingsItem(facts: LayerFacts): LayerItem {
  const { security } = facts.offering.vapp;
  const permitted = security === "none" ? [] : security.exposure;
  const looks = facts.exposures.map((exposure) => ({
    point: pointOf(facts, exposure),
    seen: factSeen(exposure.facts, "network", "exposure", layerStaleMs.network),
  }));
  const seen = looks.map((look) => look.seen).filter((look) => look !== null);
  const open = looks.filter((look) => look.seen !== null && look.seen.value !== missingValue).map(({ point }) => point);
  const oldest = seen.toSorted((a, b) => a.at - b.at)[0];
  const observed: Seen | null =
    facts.exposures.length === 0
      ? recordSeen(facts, [], "fabric records")
      : seen.length < facts.exposures.length || oldest === undefined
        ? null
        : { ...oldest, value: [...new Set(open)].toSorted() };
  return layerItem(facts.at, {
    subject: { kind: "vapp", name: facts.vapp.name },
    name: "open to outside",
    desired: permitted.toSorted(),
    seen: observed,
    // A vApp without machines of an exposed tier opens less than it may, which is no breach.
    why: whyOf(`security layer of ${declaredBy(facts)}`, facts.orders.at(-1) ?? null),
  });
}

function pointOf(facts: LayerFacts, exposure: LayerExposure): string {
  const tier = facts.machines.find(({ name }) => name === exposure.machine)?.tier ?? exposure.machine;
  return `${tier}:${exposure.targetPort}`;
}

function isolationItem(facts: LayerFacts, segment: LayerSegment): LayerItem {
  const seen = factSeen(segment.facts, "network", "segment", layerStaleMs.network);
  return layerItem(facts.at, {
    subject: { kind: "segment", name: segment.name },
    name: "isolated",
    desired: true,
    seen: seen === null ? null : { ...seen, value: memberOf(seen.value, "isolated") ?? seen.value },
    why: whyOf(`segment ${segment.name} of ${declaredBy(facts)}`, setBy(facts, ["segment.ensure"], segment.name)),
    impact: "its machines could open connections to the outside",
  });
}

/** By name and age; the value is nobody's to see. */
function secretItem(facts: LayerFacts, { name, bytes }: { readonly name: string; readonly bytes: number }): LayerItem {
  const kept = facts.secrets.find((secret) => secret.name === name);
  const since = kept === undefined ? null : new Date(kept.createdAt).toISOString();
  return layerItem(facts.at, {
    subject: { kind: "secret", name },
    name: "kept sealed",
    desired: "yes",
    seen: recordSeen(facts, since === null ? missingValue : `since ${since}`, "secret store"),
    agrees: since !== null,
    why: whyOf(`${bytes} random bytes generated for ${declaredBy(facts)}`, facts.orders.at(-1) ?? null),
    impact: secretImpact(facts, name),
  });
}

/** What policy said to the newest order: the one in force. */
function verdictItems(facts: LayerFacts): LayerItem[] {
  const [newest] = facts.orders;
  if (newest === undefined || newest.policy === null) return [];
  return [
    layerItem(facts.at, {
      subject: { kind: "vapp", name: facts.vapp.name },
      name: "last verdict",
      desired: null,
      seen: { value: newest.policy, source: "policy", at: newest.createdAt, staleMs: null },
      why: whyOf(`${newest.process} by ${newest.principal}`, newest),
    }),
  ];
}

function memberOf(value: Json, member: string): Json {
  return typeof value === "object" && value !== null && !Array.isArray(value) ? ((value as Record<string, Json>)[member] ?? null) : null;
}
