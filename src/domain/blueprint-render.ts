/**
 * Rendering of a blueprint: parameters in, machines out. Two moments, because addresses are allocated in between:
 * `renderBlueprint` at plan time (tiers expanded to machines, expressions of counts and names evaluated), `renderConfig` when the
 * addresses are known (the configuration of each machine). Both are pure.
 *
 * `renderBlueprint` renders the configuration once with documentation addresses, so an expression that cannot work is refused in the
 * plan and not in the middle of a run. The result is plain JSON and can be stored in a plan.
 */
import { z } from "zod";
import type { Goal, MachineKind, Offering, Tier } from "#domain/blueprint.ts";
import { blueprintLimits, countSchema, diskSizeSchema, imageNameSchema, offeringSource, sizeNameSchema } from "#domain/blueprint.ts";
import { AppError, assert } from "#domain/error.ts";
import { expressionScope, renderScalar, renderValue } from "#domain/expression.ts";
import type { ConfigValue, ExpressionFact, ExpressionScope, Scalar } from "#domain/expression.ts";
import { parseParameters } from "#domain/parameter.ts";
import type { ParameterValues } from "#domain/parameter.ts";
import { refusalsOfIssues } from "#domain/refusal.ts";
import { startSequence } from "#domain/start-sequence.ts";

/** How a machine is asked whether it is well. */
export type HealthCheck = { readonly tcp: number } | { readonly http: { readonly port: number; readonly path: string } };

export interface RenderedMachine {
  /** `<tier>-<index>`: its host name inside the vApp. */
  readonly name: string;
  readonly tier: string;
  readonly index: number;
  readonly image: string;
  readonly size: string;
  readonly kind: MachineKind | "auto";
  readonly goal: Goal;
  /** The first one is what the tier is reached by. */
  readonly segments: readonly string[];
  readonly volumes: readonly { readonly name: string; readonly sizeMiB: number }[];
  /** Machines of one group go to different hosts. */
  readonly spreadGroup: string | null;
  readonly health: HealthCheck | null;
}

export interface RenderedTier {
  readonly name: string;
  readonly count: number;
  readonly after: readonly string[];
  readonly segments: readonly string[];
  readonly scale: { readonly min: number; readonly max: number } | null;
  readonly balance: {
    readonly tier: string;
    readonly port: number;
    readonly health: string | null;
    /** Null, or absent in what was rendered earlier: the installation's default. */
    readonly adapter?: string | null;
  } | null;
  /** Still with its expressions; `renderConfig` evaluates them. */
  readonly config: Readonly<Record<string, Scalar>>;
}

export interface RenderedVapp {
  /** `offering shop 1.0.0`. */
  readonly source: string;
  readonly parameters: ParameterValues;
  readonly segments: readonly { readonly name: string; readonly isolated: boolean }[];
  readonly secrets: readonly { readonly name: string; readonly bytes: number }[];
  /** In the order they start. */
  readonly tiers: readonly RenderedTier[];
  /** Names of tiers that may start together, wave after wave. */
  readonly startSequence: readonly (readonly string[])[];
  /** In the order of their tiers. */
  readonly machines: readonly RenderedMachine[];
  /** What people changed since the deployment; rendering again starts from it. */
  readonly overrides: RenderOverrides;
  /** One for each machine of a tier that exposes a port. */
  readonly exposures: readonly { readonly name: string; readonly machine: string; readonly segment: string; readonly port: number }[];
}

/** Address of every machine: machine name, then segment name. */
export type MachineAddresses = Readonly<Record<string, Readonly<Record<string, string>>>>;

/** What was changed after the deployment, by tier: counts stay within the tier's `scale`, volumes (in MiB) never shrink. */
export interface RenderOverrides {
  readonly counts?: Readonly<Record<string, number>>;
  readonly sizes?: Readonly<Record<string, string>>;
  readonly volumes?: Readonly<Record<string, Readonly<Record<string, number>>>>;
}

export function renderBlueprint(
  offering: Offering,
  given: Readonly<Record<string, unknown>>,
  overrides: RenderOverrides = {},
): RenderedVapp {
  const source = offeringSource(offering);
  const { vapp } = offering;
  const parameters = parseParameters(offering.parameters, given, source);
  const scope = expressionScope(parameters, []);
  const waves = startSequence(vapp.tiers, source);
  const tiers: RenderedTier[] = [];
  const machines: RenderedMachine[] = [];
  for (const name of waves.flat()) {
    const tier = vapp.tiers[name]!;
    const count = tierCount(name, tier, scope, source, overrides.counts?.[name]);
    tiers.push(renderTier(name, tier, count));
    machines.push(...renderMachines(name, tier, count, scope, source, overrides));
  }
  checkMachineCount(machines.length, source);
  const rendered: RenderedVapp = {
    source,
    parameters,
    segments: vapp.segments === "none" ? [] : Object.entries(vapp.segments).map(([name, { isolated }]) => ({ name, isolated })),
    secrets: Object.entries(vapp.secrets).map(([name, { generate }]) => ({ name, bytes: generate })),
    tiers,
    startSequence: waves,
    machines,
    overrides,
    exposures: machines.flatMap((machine) =>
      vapp.tiers[machine.tier]!.expose.map((port) => ({
        name: `${machine.name}-${port}`,
        machine: machine.name,
        segment: machine.segments[0]!,
        port,
      })),
    ),
  };
  renderConfig(rendered, { addresses: documentationAddresses(machines) });
  return rendered;
}

/** The configuration of every machine, by machine name. Secrets stay references. Every machine needs its addresses. */
export function renderConfig(
  rendered: RenderedVapp,
  { addresses }: { addresses: MachineAddresses },
): Record<string, Record<string, ConfigValue>> {
  const result: Record<string, Record<string, ConfigValue>> = {};
  const secrets = rendered.secrets.map(({ name }) => name);
  let scope: ExpressionScope | undefined;
  for (const tier of rendered.tiers) {
    const view = tierView(rendered, tier, addresses);
    for (const machine of rendered.machines.filter((candidate) => candidate.tier === tier.name)) {
      const facts = { ...rendered.parameters, self: machineFact(tier.segments, machine, addresses), tier: view };
      scope = expressionScope(facts, secrets, scope);
      const config: Record<string, ConfigValue> = {};
      for (const [key, value] of Object.entries(tier.config)) {
        config[key] = renderValue(`${rendered.source}, vapp.tiers.${tier.name}.config.${key}`, value, scope);
      }
      result[machine.name] = config;
    }
  }
  return result;
}

/**
 * The address under which a machine on `segments` reaches the machine with these addresses: on the first segment both are on. Undefined
 * when they share none: such an address would be of no use.
 */
export function reachableAddress(segments: readonly string[], addresses: Readonly<Record<string, string>>): string | undefined {
  const shared = segments.find((segment) => Object.hasOwn(addresses, segment));
  return shared === undefined ? undefined : addresses[shared];
}

/** What expressions of one tier see of all tiers: `tier.db.0.address`. */
function tierView(rendered: RenderedVapp, tier: RenderedTier, addresses: MachineAddresses): ExpressionFact {
  const view: Record<string, ExpressionFact[]> = {};
  for (const other of rendered.tiers) view[other.name] = [];
  for (const machine of rendered.machines) view[machine.tier]!.push(machineFact(tier.segments, machine, addresses));
  return view;
}

function machineFact(segments: readonly string[], machine: RenderedMachine, addresses: MachineAddresses): ExpressionFact {
  const own = addresses[machine.name];
  assert(
    own !== undefined && machine.segments.every((segment) => Object.hasOwn(own, segment)),
    `${machine.name} has an address on each of its segments`,
  );
  const address = reachableAddress(segments, own);
  return { name: machine.name, tier: machine.tier, index: machine.index, addresses: own, ...(address === undefined ? {} : { address }) };
}

/** 192.0.2.0/24 is set aside for examples (RFC 5737); repeated values do no harm here. */
function documentationAddresses(machines: readonly RenderedMachine[]): MachineAddresses {
  return Object.fromEntries(
    machines.map((machine, index) => [
      machine.name,
      Object.fromEntries(machine.segments.map((segment) => [segment, `192.0.2.${1 + (index % 254)}`])),
    ]),
  );
}

function renderTier(name: string, tier: Tier, count: number): RenderedTier {
  const declared = tier.balance;
  const balance = declared === undefined ? null : { ...declared, health: declared.health ?? null, adapter: declared.adapter ?? null };
  return { name, count, after: tier.after, segments: tier.segments, scale: tier.scale ?? null, balance, config: tier.config };
}

function renderMachines(
  name: string,
  tier: Tier,
  count: number,
  scope: ExpressionScope,
  source: string,
  overrides: RenderOverrides,
): RenderedMachine[] {
  const at = `${source}, vapp.tiers.${name}`;
  const image = evaluated(`${at}.image`, tier.image, imageNameSchema, scope);
  const size = evaluated(`${at}.size`, overrides.sizes?.[name] ?? tier.size, sizeNameSchema, scope);
  const volumes = Object.entries(tier.volumes).map(([volume, amount]) => ({
    name: volume,
    sizeMiB: overrides.volumes?.[name]?.[volume] ?? parseDiskSize(evaluated(`${at}.volumes.${volume}`, amount, diskSizeSchema, scope)),
  }));
  const common = { tier: name, image, size, volumes, kind: tier.kind, goal: tier.goal, segments: tier.segments };
  const spreadGroup = tier.spread === undefined ? null : name;
  return Array.from({ length: count }, (_, index) => ({
    name: `${name}-${index}`,
    index,
    ...common,
    spreadGroup,
    health: parseHealth(tier),
  }));
}

function tierCount(name: string, tier: Tier, scope: ExpressionScope, source: string, scaled: number | undefined): number {
  const path = `${source}, vapp.tiers.${name}.count`;
  const count = evaluated(path, scaled ?? tier.count, countSchema, scope);
  const { min, max } = tier.scale ?? { min: 0, max: blueprintLimits.machinesPerTier };
  if (count >= min && count <= max) return count;
  const constraint = `${name} has ${count} machines, its scale allows ${min} to ${max}`;
  const detail = [{ constraint, source: `${source}, vapp.tiers.${name}.scale`, nearest: `use ${count < min ? min : max}` }];
  throw new AppError("invalid_input", constraint, { detail });
}

function evaluated<T extends Scalar>(path: string, value: Scalar, schema: z.ZodType<T>, scope: ExpressionScope): T {
  const parsed = schema.safeParse(renderScalar(path, value, scope));
  if (parsed.success) return parsed.data;
  const detail = refusalsOfIssues(parsed.error.issues, path);
  throw new AppError("invalid_input", `${path}: ${z.prettifyError(parsed.error)}`, { detail });
}

function checkMachineCount(count: number, source: string): void {
  if (count >= 1 && count <= blueprintLimits.machines) return;
  const constraint = `a vApp has 1 to ${blueprintLimits.machines} machines, this would have ${count}`;
  const nearest = count === 0 ? "give at least one tier a count of 1" : `use ${count - blueprintLimits.machines} machines less`;
  throw new AppError("invalid_input", constraint, { detail: [{ constraint, source: `${source}, vapp.tiers`, nearest }] });
}

function parseHealth(tier: Tier): HealthCheck | null {
  if (tier.health === undefined) return null;
  if ("tcp" in tier.health) return { tcp: tier.health.tcp };
  const slash = tier.health.http.indexOf("/");
  return { http: { port: Number(tier.health.http.slice(1, slash)), path: tier.health.http.slice(slash) } };
}

const unitMiB = { MiB: 1, GiB: 1024, TiB: 1024 * 1024 } as const;

export function parseDiskSize(text: string): number {
  const amount = Number.parseInt(text, 10);
  const unit = text.slice(-3) as keyof typeof unitMiB;
  return amount * unitMiB[unit];
}
