/** Who may come near, and who keeps an eye on it: the layers access and management. */
import { endpointImpact, list } from "#domain/layer-impact.ts";
import { declaredBy, factSeen, layerItem, recordSeen, setBy, whyOf } from "#domain/layer-item.ts";
import { layerStaleMs, type LayerEndpoint, type LayerFacts, type LayerMachine } from "#domain/layer-facts.ts";
import type { LayerItem } from "#domain/layer-view.ts";

type Rule = "owner" | "project" | "none";

export function accessItems(facts: LayerFacts): LayerItem[] {
  const { access } = facts.offering.vapp;
  const rules: Record<"console" | "ssh", Rule> = access === "none" ? { console: "none", ssh: "none" } : access;
  return [
    ruleItem(facts, "console", rules.console),
    ruleItem(facts, "ssh", rules.ssh),
    ...(rules.console === "none" ? [] : facts.machines.map((machine) => consoleItem(facts, machine))),
  ];
}

function ruleItem(facts: LayerFacts, name: "console" | "ssh", rule: Rule): LayerItem {
  const deployment = facts.orders.at(-1) ?? null;
  const who = admitted(facts, rule, deployment?.principal ?? null);
  return layerItem(facts.at, {
    subject: { kind: "vapp", name: facts.vapp.name },
    name,
    desired: rule,
    seen: recordSeen(facts, rule === "none" ? "nobody" : who, "grants"),
    agrees: rule === "none" || who.length > 0,
    why: whyOf(`access layer of ${declaredBy(facts)}: ${ruleText[rule]}`, deployment),
  });
}

const ruleText: Record<Rule, string> = {
  owner: "who ordered the vApp, and admins",
  project: "everybody with a grant in the project",
  none: "nobody",
};

/** Services that only automate are not people who come in. */
function admitted(facts: LayerFacts, rule: Rule, owner: string | null): string[] {
  const people = facts.grants.filter(({ role }) => role !== "automation");
  const may = rule === "project" ? people : people.filter(({ role, principal }) => role === "admin" || principal === owner);
  return [...new Set(may.map(({ principal }) => principal))].toSorted();
}

function consoleItem(facts: LayerFacts, machine: LayerMachine): LayerItem {
  const endpoint = facts.endpoints.find(({ name }) => name === machine.endpoint);
  const reachable = endpoint?.state === "ready" && machine.state === "running";
  return layerItem(facts.at, {
    subject: { kind: "machine", name: machine.name },
    name: "serial console",
    // The blueprint says who may; whether there is one at all is the endpoint's nature.
    desired: machine.desired === "running" && endpoint?.console === true ? "open on request" : null,
    seen:
      endpoint?.checkedAt == null
        ? null
        : {
            value: !endpoint.console ? "endpoint has none" : reachable ? "open on request" : `${machine.state}, endpoint ${endpoint.state}`,
            source: `${endpoint.provider}:${endpoint.name}`,
            at: endpoint.checkedAt,
            staleMs: layerStaleMs.endpoint,
          },
    why: whyOf(`access layer of ${declaredBy(facts)}`, facts.orders.at(-1) ?? null),
  });
}

export function managementItems(facts: LayerFacts): LayerItem[] {
  return [
    ...facts.endpoints.map((endpoint) => endpointItem(facts, endpoint)),
    ...facts.machines.flatMap((machine) => [externalItem(facts, machine), ...chargeItems(facts, machine)]),
    ...declarationItems(facts),
    ...vappItems(facts),
  ];
}

function endpointItem(facts: LayerFacts, endpoint: LayerEndpoint): LayerItem {
  const on = facts.machines.filter((machine) => machine.endpoint === endpoint.name).map(({ name }) => name);
  return layerItem(facts.at, {
    subject: { kind: "endpoint", name: endpoint.name },
    name: "state",
    desired: "ready",
    seen:
      endpoint.checkedAt === null
        ? null
        : {
            value: endpoint.state,
            source: `${endpoint.provider}:${endpoint.name}`,
            at: endpoint.checkedAt,
            staleMs: layerStaleMs.endpoint,
          },
    why: whyOf(`${list(on)} ${on.length === 1 ? "was" : "were"} placed there`, facts.orders.at(-1) ?? null),
    impact: endpointImpact(facts, endpoint.name),
  });
}

function externalItem(facts: LayerFacts, machine: LayerMachine): LayerItem {
  const seen = machine.state === "missing" ? null : factSeen(machine.facts, "management", "externalId", layerStaleMs.machine);
  return layerItem(facts.at, {
    subject: { kind: "machine", name: machine.name },
    name: "at its endpoint",
    desired: null,
    seen: seen === null ? null : { ...seen, value: `${machine.externalName} (${String(seen.value)})` },
    why: whyOf("its name there is fixed before the first call", setBy(facts, ["machine.ensure"], machine.name)),
  });
}

/** What runs is charged as running, what stands still for its disks, what was never seen running not at all. */
function chargeItems(facts: LayerFacts, machine: LayerMachine): LayerItem[] {
  const entry = facts.ledger.find(({ resource }) => resource === machine.id);
  if (entry === undefined) return [];
  const runs = machine.state === "running" && machine.desired === "running";
  return [
    layerItem(facts.at, {
      subject: { kind: "machine", name: machine.name },
      name: "charged as",
      desired: runs ? "running" : "stopped",
      seen: { value: entry.state, source: "ledger", at: entry.at, staleMs: null },
      why: whyOf("charging follows what is observed and what an order stopped", setBy(facts, ["machine.ensure"], machine.name)),
    }),
  ];
}

/** Declared times that nothing has carried out are shown as not observed, never as kept. */
function declarationItems(facts: LayerFacts): LayerItem[] {
  const { management } = facts.offering.vapp;
  if (management === "none") return [];
  return (["lease", "patch", "snapshots"] as const)
    .filter((name) => management[name] !== "none")
    .map((name) =>
      layerItem(facts.at, {
        subject: { kind: "vapp", name: facts.vapp.name },
        name,
        desired: management[name],
        seen: null,
        why: whyOf(`management layer of ${declaredBy(facts)}; no automation has acted on it`, facts.orders.at(-1) ?? null),
      }),
    );
}

function vappItems(facts: LayerFacts): LayerItem[] {
  const { vapp } = facts;
  const subject = { kind: "vapp", name: vapp.name } as const;
  const [newest = null] = facts.orders;
  return [
    layerItem(facts.at, {
      subject,
      name: "cost",
      desired: null,
      seen: recordSeen(facts, `${vapp.costPerHour.replace(/(\.\d{6})\d+$/, "$1")} ${vapp.currency} an hour`, "rate card"),
      why: whyOf("the current rate card on what the vApp is made of", newest),
    }),
    ...(newest === null
      ? []
      : [
          layerItem(facts.at, {
            subject,
            name: "last order",
            desired: null,
            seen: { value: `${newest.process} ${newest.state}`, source: `run ${newest.run}`, at: newest.createdAt, staleMs: null },
            why: whyOf(`generation ${newest.generation}, now ${vapp.generation}`, newest),
          }),
        ]),
    ...(vapp.deleteAt === null
      ? []
      : [
          layerItem(facts.at, {
            subject,
            name: "purged at",
            desired: new Date(vapp.deleteAt).toISOString(),
            seen: null,
            agrees: null,
            why: whyOf("the undo window of its deletion ends then", newest),
            impact: "until then it can be restored, afterwards it is gone for good",
          }),
        ]),
  ];
}
