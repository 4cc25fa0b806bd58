/**
 * The blueprint of a vApp inside its offering, as written in YAML: schema, and the checks a schema cannot say (references, cycles, the
 * seven layers). Rendering with parameters is in `blueprint-render.ts`.
 *
 * Invariants: every one of the seven layers is declared or explicitly `none` (R118); names in it can be used in expressions, as parts
 * of host names and of machine names at endpoints; nothing in a blueprint is a secret, secrets are generated per vApp.
 */
import { z } from "zod";
import { AppError } from "#domain/error.ts";
import type { Refusal } from "#domain/error.ts";
import { hasExpression } from "#domain/expression-text.ts";
import { checkParameter, parameterLimits, parameterNameSchema, parameterSchema } from "#domain/parameter.ts";
import { undeclaredLayers, fieldsOf } from "#domain/blueprint-layers.ts";
import { startSequence } from "#domain/start-sequence.ts";
import { nearestName, refusalsOfIssues } from "#domain/refusal.ts";

export const blueprintLimits = {
  tiers: 16,
  machinesPerTier: 200,
  machines: 200,
  segments: 8,
  secrets: 32,
  configEntries: 64,
  volumes: 8,
  ports: 16,
} as const;

export const machineKinds = ["vm", "container"] as const;
export type MachineKind = (typeof machineKinds)[number];

/** No hyphen: in an expression it would be a subtraction. */
const nameSchema = z
  .string()
  .regex(/^[a-z][a-z0-9]{0,15}$/, "a name of lower-case letters and digits that starts with a letter, at most 16 characters");
const expressionSchema = z.string().max(2048).refine(hasExpression, { error: "an expression ${...}", abort: true });
const none = z.literal("none");
const port = z.int().min(1).max(65_535);

function orExpression<T extends z.ZodType>(schema: T, expected: string) {
  return z.union([schema, expressionSchema], { error: `expected ${expected} or an expression` });
}

export const countSchema = z.int().min(0).max(blueprintLimits.machinesPerTier);
export const imageNameSchema = z.string().regex(/^[a-z][a-z0-9-]{0,62}$/, "the name of an image: lower-case letters, digits and hyphens");
export const sizeNameSchema = z.string().regex(/^[a-z][a-z0-9-]{0,30}$/, "the name of a size: lower-case letters, digits and hyphens");
export const diskSizeSchema = z.string().regex(/^[1-9]\d{0,6} ?(MiB|GiB|TiB)$/, 'an amount such as "2 GiB"');
const adapterNameSchema = z.string().regex(/^[a-z][a-z0-9-]{0,30}$/, "the name of an adapter: lower-case letters, digits and hyphens");
export const leaseSchema = z.union([none, z.string().regex(/^[1-9]\d{0,3}[hd]$/)], {
  error: 'expected a time such as "30d" or "12h", or none',
});

/** What the machines are for; `kind: auto` is decided from it. */
export const goalSchema = z.strictObject({
  isolation: z.enum(["strong", "normal"]).optional(),
  density: z.enum(["high", "normal"]).optional(),
  availability: z.enum(["high", "normal"]).optional(),
});
export type Goal = z.infer<typeof goalSchema>;

const healthSchema = z.union(
  [
    z.strictObject({ tcp: port }),
    z.strictObject({
      http: z
        .string()
        .regex(/^:[1-9]\d{0,4}\/[!-~]{0,200}$/)
        .refine((target) => Number.parseInt(target.slice(1), 10) <= 65_535),
    }),
  ],
  { error: 'expected { tcp: 5432 } or { http: ":80/health" }' },
);

const tierSchema = z.strictObject({
  image: orExpression(imageNameSchema, "the name of an image"),
  size: orExpression(sizeNameSchema, "the name of a size"),
  count: orExpression(countSchema, `a whole number from 0 to ${blueprintLimits.machinesPerTier}`).default(1),
  kind: z.enum([...machineKinds, "auto"]),
  goal: goalSchema.default({}),
  segments: z.array(nameSchema).max(blueprintLimits.segments).default([]),
  volumes: z.record(nameSchema, orExpression(diskSizeSchema, 'an amount such as "2 GiB"')).default({}),
  spread: z.literal("host").optional(),
  health: healthSchema.optional(),
  config: z
    .record(z.string().regex(/^[A-Za-z][A-Za-z0-9_.-]{0,63}$/), z.union([z.string().max(16_384), z.number(), z.boolean()]))
    .default({}),
  after: z.array(nameSchema).max(blueprintLimits.tiers).default([]),
  scale: z.strictObject({ min: countSchema, max: countSchema }).optional(),
  balance: z
    .strictObject({
      tier: nameSchema,
      port,
      health: z
        .string()
        .regex(/^\/[A-Za-z0-9._~%!&()*+,;=:@/?-]{0,199}$/, "a path such as /health")
        .optional(),
      /** Connector to the balancer; the installation's default when absent. */
      adapter: adapterNameSchema.optional(),
    })
    .optional(),
  expose: z.array(port).max(blueprintLimits.ports).default([]),
});
export type Tier = z.infer<typeof tierSchema>;

const exposurePointSchema = z.string().regex(/^[a-z][a-z0-9]{0,15}:\d{1,5}$/, 'a tier and a port, such as "proxy:80"');
const mayAccess = z.enum(["owner", "project", "none"]);

const vappSchema = z.strictObject({
  segments: z.union([none, z.record(nameSchema, z.strictObject({ isolated: z.boolean().default(false) }))], {
    error: "expected segments by name, or none",
  }),
  secrets: z.record(parameterNameSchema, z.strictObject({ generate: z.int().min(16).max(256) })).default({}),
  tiers: z.record(nameSchema, tierSchema),
  storage: none.optional(),
  access: z.union([none, z.strictObject({ ssh: mayAccess.default("none"), console: mayAccess.default("none") })], {
    error: "expected { ssh, console }, or none",
  }),
  security: z.union([none, z.strictObject({ exposure: z.array(exposurePointSchema).default([]) })], {
    error: 'expected { exposure: ["tier:port"] }, or none',
  }),
  management: z.union(
    [
      none,
      z.strictObject({
        lease: leaseSchema.default("none"),
        patch: sizeNameSchema.default("none"),
        snapshots: sizeNameSchema.default("none"),
      }),
    ],
    {
      error: "expected { lease, patch, snapshots }, or none",
    },
  ),
  objectives: z
    .strictObject({
      availability: z.number().min(0).max(100).optional(),
      probe: z
        .union([z.strictObject({ http: z.string().regex(/^[a-z][a-z0-9]{0,15}:\d{1,5}\//) }), z.strictObject({ tcp: exposurePointSchema })])
        .optional(),
    })
    .optional(),
});

export const offeringSchema = z.strictObject({
  offering: z.string().regex(/^[a-z][a-z0-9-]{0,39}$/, "a name of lower-case letters, digits and hyphens, at most 40 characters"),
  version: z.string().regex(/^\d{1,5}\.\d{1,5}\.\d{1,5}(-[0-9A-Za-z.-]{1,40})?$/, "a semantic version such as 1.0.0"),
  summary: z.string().min(1).max(200),
  parameters: z.record(parameterNameSchema, parameterSchema).default({}),
  vapp: vappSchema,
});
export type Offering = z.infer<typeof offeringSchema>;

/** Parses an offering out of its YAML, already read into an object. Throws `invalid_input` with a refusal for each broken rule. */
export function parseOffering(document: unknown): Offering {
  const source = sourceOf(document);
  refuse(source, undeclaredLayers(document, source));
  const parsed = offeringSchema.safeParse(document);
  if (!parsed.success) throw refused(source, refusalsOfIssues(parsed.error.issues, source));
  refuse(source, checkOffering(parsed.data, source));
  return parsed.data;
}

/** `offering shop 1.0.0`: how refusals and errors call it. */
export function offeringSource(offering: { readonly offering: string; readonly version: string }): string {
  return `offering ${offering.offering} ${offering.version}`;
}

/** References, which no schema can check. */
function checkOffering(offering: Offering, source: string): Refusal[] {
  const { vapp, parameters } = offering;
  const refusals = Object.entries(parameters).flatMap(([name, definition]) => checkParameter(name, definition, source));
  const limit = (count: number, max: number, what: string) => {
    if (count > max)
      refusals.push({ constraint: `an offering has at most ${max} ${what}, this has ${count}`, source, nearest: `remove ${count - max}` });
  };
  limit(Object.keys(parameters).length, parameterLimits.parameters, "parameters");
  limit(Object.keys(vapp.tiers).length, blueprintLimits.tiers, "tiers");
  limit(Object.keys(vapp.secrets).length, blueprintLimits.secrets, "secrets");
  const segments = vapp.segments === "none" ? [] : Object.keys(vapp.segments);
  limit(segments.length, blueprintLimits.segments, "segments");
  for (const [name, tier] of Object.entries(vapp.tiers)) refusals.push(...checkTier(name, tier, offering, segments, source));
  refusals.push(...checkExposure(offering, source));
  if (refusals.length === 0) startSequence(vapp.tiers, source);
  return refusals;
}

function checkTier(name: string, tier: Tier, offering: Offering, segments: readonly string[], source: string): Refusal[] {
  const refusals: Refusal[] = [];
  const at = `${source}, vapp.tiers.${name}`;
  const tiers = Object.keys(offering.vapp.tiers);
  const known = (used: string, names: readonly string[], noun: string, field: string) => {
    if (!names.includes(used))
      refusals.push({ constraint: `there is no ${noun} "${used}"`, source: `${at}.${field}`, nearest: nearestName(used, names, noun) });
  };
  const broken = (field: string, constraint: string, nearest: string) => refusals.push({ constraint, source: `${at}.${field}`, nearest });
  for (const segment of tier.segments) known(segment, segments, "segment", "segments");
  for (const other of tier.after) known(other, tiers, "tier", "after");
  if (tier.balance !== undefined) {
    known(tier.balance.tier, tiers, "tier", "balance.tier");
    const members = offering.vapp.tiers[tier.balance.tier];
    if (members !== undefined && !tier.segments.some((segment) => members.segments.includes(segment)))
      broken("balance", `${name} reaches no machine of ${tier.balance.tier}: they share no segment`, "put both tiers on one segment");
  }
  if (new Set(tier.segments).size < tier.segments.length)
    broken("segments", "a machine joins each segment once", "remove the repeated segment");
  if (new Set(tier.expose).size < tier.expose.length) broken("expose", "each port is exposed once", "remove the repeated port");
  if (tier.expose.length > 0 && tier.segments.length === 0)
    broken("expose", "an exposed tier needs a segment", "add a segment to the tier");
  if (tier.scale !== undefined && tier.scale.min > tier.scale.max)
    broken("scale", `scale.min ${tier.scale.min} is above scale.max ${tier.scale.max}`, `use min ${tier.scale.max}`);
  if (offering.vapp.storage === "none" && Object.keys(tier.volumes).length > 0)
    broken("volumes", "the storage layer is declared none, but this tier has volumes", "remove `storage: none`");
  const entries = Object.keys(tier.config).length;
  if (entries > blueprintLimits.configEntries)
    broken(
      "config",
      `at most ${blueprintLimits.configEntries} entries, this has ${entries}`,
      `remove ${entries - blueprintLimits.configEntries}`,
    );
  const volumes = Object.keys(tier.volumes).length;
  if (volumes > blueprintLimits.volumes)
    broken("volumes", `at most ${blueprintLimits.volumes} volumes, this has ${volumes}`, `remove ${volumes - blueprintLimits.volumes}`);
  return refusals;
}

/** The security layer lists exactly what tiers expose, so that a reader of that one line sees every way in. */
function checkExposure(offering: Offering, source: string): Refusal[] {
  const { vapp } = offering;
  const exposed = Object.entries(vapp.tiers).flatMap(([name, tier]) => tier.expose.map((number) => `${name}:${number}`));
  const permitted = vapp.security === "none" ? [] : vapp.security.exposure;
  const refusals: Refusal[] = [];
  for (const point of exposed) {
    if (permitted.includes(point)) continue;
    refusals.push({
      constraint: `${point} is exposed but the security layer does not permit it`,
      source: `${source}, vapp.security`,
      nearest: `add "${point}" to security.exposure`,
    });
  }
  for (const point of permitted) {
    if (exposed.includes(point)) continue;
    refusals.push({
      constraint: `the security layer permits ${point}, which no tier exposes`,
      source: `${source}, vapp.security.exposure`,
      nearest: nearestName(point, exposed, "exposure"),
    });
  }
  const probe = vapp.objectives?.probe;
  const probed = probe === undefined ? undefined : "http" in probe ? probe.http.slice(0, probe.http.indexOf("/")) : probe.tcp;
  if (probed !== undefined && !exposed.includes(probed)) {
    refusals.push({
      constraint: `the probe measures ${probed} from outside, but it is not exposed`,
      source: `${source}, vapp.objectives.probe`,
      nearest: nearestName(probed, exposed, "exposure"),
    });
  }
  return refusals;
}

function sourceOf(document: unknown): string {
  const { offering, version } = fieldsOf(document);
  return typeof offering === "string" && typeof version === "string"
    ? offeringSource({ offering: offering.slice(0, 40), version: version.slice(0, 40) })
    : "offering";
}

function refuse(source: string, refusals: readonly Refusal[]): void {
  if (refusals.length > 0) throw refused(source, refusals);
}

function refused(source: string, refusals: readonly Refusal[]): AppError {
  return new AppError("invalid_input", `${source} is refused: ${refusals.map((refusal) => refusal.constraint).join("; ")}`, {
    detail: refusals,
  });
}
