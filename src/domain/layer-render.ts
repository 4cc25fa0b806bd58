/**
 * The engine of the layers view: facts in, seven layers out. Pure; no clock but the time in the facts.
 *
 * A layer the blueprint declares `none` says so, and still shows what was observed: that there is nothing to want does not mean there is
 * nothing to see. It says `differs` when something there contradicts it all the same.
 */
import { layers, type Layer } from "#domain/fact.ts";
import { accessItems, managementItems } from "#domain/layer-control.ts";
import type { LayerFacts } from "#domain/layer-facts.ts";
import { list } from "#domain/layer-impact.ts";
import { applicationItems, processingItems, storageItems } from "#domain/layer-machine.ts";
import { networkItems, securityItems } from "#domain/layer-network.ts";
import type { LayerItem, LayerState, LayerView, VappLayers } from "#domain/layer-view.ts";

const itemsOf: Record<Layer, (facts: LayerFacts) => LayerItem[]> = {
  access: accessItems,
  application: applicationItems,
  processing: processingItems,
  storage: storageItems,
  network: networkItems,
  management: managementItems,
  security: securityItems,
};

export function layerView(facts: LayerFacts): VappLayers {
  return {
    vapp: facts.vapp.name,
    at: new Date(facts.at).toISOString(),
    layers: layers.map((layer) => oneLayer(facts, layer)),
  };
}

function oneLayer(facts: LayerFacts, layer: Layer): LayerView {
  const items = itemsOf[layer](facts);
  const state = stateOf(items, isNone(facts, layer));
  return { layer, state, summary: `${baseOf[layer](facts)}${remark(items, state)}`, items };
}

function stateOf(items: readonly LayerItem[], none: boolean): LayerState {
  if (items.some(({ agrees }) => agrees === false)) return "differs";
  if (none) return "none";
  return items.some(isUnknown) ? "unknown" : "as desired";
}

/** Something desired that nobody has seen, or not lately. */
function isUnknown(item: LayerItem): boolean {
  return item.desired !== null && (item.observed === null || item.stale) && item.name !== "purged at";
}

function isNone({ offering: { vapp } }: LayerFacts, layer: Layer): boolean {
  switch (layer) {
    case "access":
      return vapp.access === "none" || (vapp.access.ssh === "none" && vapp.access.console === "none");
    case "storage":
      return vapp.storage === "none";
    case "network":
      return vapp.segments === "none";
    case "management":
      return vapp.management === "none";
    case "security":
      return vapp.security === "none";
    case "application":
    case "processing":
      return false;
  }
}

function remark(items: readonly LayerItem[], state: LayerState): string {
  const concerned =
    state === "differs" ? items.filter(({ agrees }) => agrees === false) : state === "unknown" ? items.filter(isUnknown) : [];
  if (concerned.length === 0) return "";
  const names = list(concerned.map(({ subject, name }) => `${name} of ${subject.name}`));
  return state === "differs" ? `; not as desired: ${names}` : `; not known now: ${names}`;
}

const baseOf: Record<Layer, (facts: LayerFacts) => string> = {
  access: ({ offering: { vapp } }) =>
    vapp.access === "none" ? "declared none: no console, no ssh" : `console for ${vapp.access.console}, ssh for ${vapp.access.ssh}`,
  application({ machines, blueprint }) {
    const checked = machines.filter(({ health }) => health !== null).length;
    return `${counted(blueprint.tiers.length, "tier")}, ${checked} of ${counted(machines.length, "machine")} with a health check`;
  },
  processing({ machines }) {
    const kinds = (["vm", "container"] as const).map((kind) => [machines.filter((machine) => machine.kind === kind).length, kind] as const);
    const text = kinds.filter(([count]) => count > 0).map(([count, kind]) => counted(count, kind === "vm" ? "VM" : kind));
    const running = machines.filter(({ state }) => state === "running").length;
    return `${text.length === 0 ? "no machines" : text.join(" and ")}, ${running} running`;
  },
  storage({ offering: { vapp }, machines, snapshots }) {
    if (vapp.storage === "none") return "declared none: no volumes beside the system disks";
    const volumes = machines.reduce((sum, machine) => sum + machine.volumes.length, 0);
    return `${counted(volumes, "volume")}, ${counted(snapshots.length, "snapshot")}`;
  },
  network({ offering: { vapp }, segments, exposures }) {
    return vapp.segments === "none"
      ? "declared none: no segments"
      : `${counted(segments.length, "segment")}, ${counted(exposures.length, "exposure")}`;
  },
  management({ offering: { vapp }, endpoints }) {
    const declared =
      vapp.management === "none" ? "declared none: no lease, no patch window, no snapshots" : `lease ${vapp.management.lease}`;
    return `${declared}; on ${counted(endpoints.length, "endpoint")}`;
  },
  security({ offering: { vapp }, segments, blueprint }) {
    const open =
      vapp.security === "none" ? "declared none: nothing is exposed" : `exposed: ${vapp.security.exposure.join(", ") || "nothing"}`;
    const isolated = segments.filter((segment) => segment.isolated).length;
    return `${open}; ${counted(isolated, "isolated segment")}, ${counted(blueprint.secrets.length, "secret")}`;
  },
};

function counted(count: number, noun: string): string {
  return `${count} ${noun}${count === 1 ? "" : "s"}`;
}
