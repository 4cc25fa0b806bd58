/**
 * How the parts of a vApp hang together: who is reached from outside, who balances whom, who needs whom. Pure: from what the API says
 * to boxes and lines. Machines and addresses are what is there; who needs whom is in the offering the vApp was made of.
 */
import type { Machine, Vapp } from "./query.ts";
import { meaningOf, type Tone } from "./state.ts";

export interface TierBox {
  readonly id: string;
  readonly tier: string;
  readonly image: string;
  readonly segments: readonly { readonly name: string; readonly isolated: boolean }[];
  /** Those drawn; what needs attention is always among them. */
  readonly machines: readonly Machine[];
  readonly machinesLeftOut: number;
  /** How far from outside: 1 is reached first. */
  readonly rank: number;
}

export interface ExposureBox {
  readonly id: string;
  readonly name: string;
  readonly label: string;
  readonly url: string | null;
}

export interface Line {
  readonly id: string;
  readonly from: string;
  readonly to: string;
  /** Machine in the box a line ends at; null: the box itself. */
  readonly toMachine: string | null;
  readonly kind: "reaches" | "balances" | "needs";
  readonly label: string;
  readonly tone: Tone | null;
}

export interface Topology {
  readonly exposures: readonly ExposureBox[];
  readonly tiers: readonly TierBox[];
  readonly lines: readonly Line[];
}

export const topologyLimits = { machinesDrawn: 8, linesToMachines: 6 } as const;

interface TierPlan {
  readonly after: readonly string[];
  readonly segments: readonly string[];
  readonly balance: { readonly tier: string; readonly port: number } | null;
}

export function topologyOf(vapp: Vapp, document: unknown): Topology {
  const plans = tierPlans(document);
  const byTier = Map.groupBy(vapp.machines, ({ tier }) => tier);
  const names = [...byTier.keys()];
  const ranks = ranksOf(names, plans, new Set(vapp.exposures.flatMap((exposure) => tierOf(vapp, exposure.machine))));
  const tiers = names
    .map((tier): TierBox => tierBox(tier, byTier.get(tier)!, vapp, ranks.get(tier) ?? 1))
    .toSorted((a, b) => a.rank - b.rank || a.tier.localeCompare(b.tier));
  const living = vapp.exposures.filter(({ state }) => state !== "removed");
  return {
    tiers,
    exposures: living.map((exposure) => ({
      id: `exposure:${exposure.name}`,
      name: exposure.name,
      label: exposure.port === null ? "no address yet" : `${exposure.address}:${exposure.port}`,
      url: exposure.url,
    })),
    lines: [
      ...living.flatMap((exposure) =>
        tierOf(vapp, exposure.machine).map((tier) => ({
          id: `${exposure.name}>${tier}`,
          from: `exposure:${exposure.name}`,
          to: `tier:${tier}`,
          toMachine: exposure.machine,
          kind: "reaches" as const,
          label: `port ${exposure.targetPort}`,
          tone: null,
        })),
      ),
      ...tiers.flatMap((box) => linesFrom(box, tiers, plans)),
    ],
  };
}

/** In words, for those who do not see the drawing. */
export function topologyText({ exposures, tiers, lines }: Topology): string[] {
  const name = (id: string) => id.slice(id.indexOf(":") + 1);
  const reached = lines
    .filter(({ kind }) => kind === "reaches")
    .map(({ from, toMachine, label }) => {
      const exposure = exposures.find(({ id }) => id === from);
      return `From outside, ${exposure?.label ?? name(from)} leads to ${label} of machine ${toMachine}.`;
    });
  const made = tiers.map(({ tier, image, segments, machines, machinesLeftOut }) => {
    const where = segments.map(({ name: segment, isolated }) => `${segment}${isolated ? " (isolated)" : ""}`).join(" and ");
    const who = machines.map((machine) => `${machine.name} ${machine.state}`).join(", ");
    return `Tier ${tier}, image ${image}, in segment ${where}: ${who}${machinesLeftOut > 0 ? ` and ${machinesLeftOut} more` : ""}.`;
  });
  const pairs = new Map(lines.filter(({ kind }) => kind !== "reaches").map((line) => [`${line.from} ${line.to}`, line]));
  const between = [...pairs.values()].map(({ from, to, kind }) => `Tier ${name(from)} ${kind} tier ${name(to)}.`);
  return [...reached, ...made, ...between];
}

function tierOf(vapp: Vapp, machine: string): string[] {
  return vapp.machines.filter(({ name }) => name === machine).map(({ tier }) => tier);
}

function tierBox(tier: string, machines: readonly Machine[], vapp: Vapp, rank: number): TierBox {
  const urgency = ({ state }: Machine) => (["bad", "warn"].includes(meaningOf("machine", state).tone) ? 0 : 1);
  const { machinesDrawn } = topologyLimits;
  const drawn = machines.length <= machinesDrawn ? machines : machines.toSorted((a, b) => urgency(a) - urgency(b)).slice(0, machinesDrawn);
  const used = new Set(machines.flatMap(({ addresses }) => addresses.map(({ segment }) => segment)));
  return {
    id: `tier:${tier}`,
    tier,
    image: machines[0]!.image,
    segments: vapp.segments.filter(({ name }) => used.has(name)),
    machines: drawn,
    machinesLeftOut: machines.length - drawn.length,
    rank,
  };
}

function linesFrom(box: TierBox, tiers: readonly TierBox[], plans: ReadonlyMap<string, TierPlan>): Line[] {
  const plan = plans.get(box.tier);
  if (plan === undefined) return [];
  const { balance } = plan;
  const others = new Set([...(balance === null ? [] : [balance.tier]), ...plan.after]);
  return [...others].flatMap((name): Line[] => {
    const other = tiers.find(({ tier }) => tier === name);
    if (other === undefined) return [];
    const shared = other.segments.filter((segment) => box.segments.some((own) => own.name === segment.name));
    const by = shared.length === 0 ? "" : ` · ${shared.map((segment) => segment.name).join(", ")}`;
    const line = { from: box.id, to: other.id };
    if (balance?.tier !== name)
      return [{ ...line, id: `${box.tier}>${name}`, toMachine: null, kind: "needs", label: `needs${by}`, tone: null }];
    if (other.machines.length + other.machinesLeftOut > topologyLimits.linesToMachines)
      return [
        { ...line, id: `${box.tier}>${name}`, toMachine: null, kind: "balances", label: `balances :${balance.port}${by}`, tone: null },
      ];
    return other.machines.map((machine, index) => ({
      ...line,
      id: `${box.tier}>${machine.name}`,
      toMachine: machine.name,
      kind: "balances" as const,
      // One label for all of them, above the first.
      label: index === 0 ? `balances :${balance.port}${by}` : "",
      tone: meaningOf("machine", machine.state).tone,
    }));
  });
}

/** The longest way from what is reached first. A circle cannot be published, but the limit is what ends the loop. */
function ranksOf(names: readonly string[], plans: ReadonlyMap<string, TierPlan>, exposed: ReadonlySet<string>): Map<string, number> {
  const needs = (tier: string) => {
    const { after = [], balance = null } = plans.get(tier) ?? {};
    return new Set([...after, ...(balance === null ? [] : [balance.tier])].filter((name) => names.includes(name)));
  };
  const ranks = new Map(names.map((name) => [name, plans.size > 0 || exposed.has(name) ? 1 : 2]));
  for (const _round of names) {
    for (const tier of names)
      for (const other of needs(tier)) ranks.set(other, Math.max(ranks.get(other)!, Math.min(ranks.get(tier)! + 1, names.length)));
  }
  return ranks;
}

/** Of an offering's document only what is drawn; what is not understood is left out. */
function tierPlans(document: unknown): Map<string, TierPlan> {
  const tiers = member(member(document, "vapp"), "tiers");
  if (typeof tiers !== "object" || tiers === null) return new Map();
  return new Map(
    Object.entries(tiers).map(([name, tier]) => {
      const balance = member(tier, "balance");
      const target = member(balance, "tier");
      const port = member(balance, "port");
      return [
        name,
        {
          after: textsOf(member(tier, "after")),
          segments: textsOf(member(tier, "segments")),
          balance: typeof target === "string" && typeof port === "number" ? { tier: target, port } : null,
        },
      ];
    }),
  );
}

function member(value: unknown, name: string): unknown {
  return typeof value === "object" && value !== null ? (value as Record<string, unknown>)[name] : undefined;
}

function textsOf(value: unknown): string[] {
  return Array.isArray(value) ? value.filter((item) => typeof item === "string") : [];
}
