/** The seven layers of a blueprint: each is declared or explicitly `none` (R118, R125). A leaf of `blueprint.ts`. */
import type { Refusal } from "#domain/error.ts";
import type { Layer } from "#domain/fact.ts";

type Fields = Readonly<Record<string, unknown>>;

/** The layers a document says nothing about. Looks at the raw document, so that a gap is called a gap and not a missing field. */
export function undeclaredLayers(document: unknown, source: string): Refusal[] {
  const vapp = fieldsOf(fieldsOf(document)["vapp"]);
  const tiers = Object.entries(fieldsOf(vapp["tiers"])).map(([name, tier]) => ({ name, tier: fieldsOf(tier) }));
  const sized = tiers.filter(({ tier }) => tier["size"] === undefined || tier["kind"] === undefined).map(({ name }) => name);
  const checks: { layer: Layer; declared: boolean; field: string; nearest: string }[] = [
    {
      layer: "access",
      declared: vapp["access"] !== undefined,
      field: "access",
      nearest: "add `access: none` or `access: { ssh: owner, console: owner }`",
    },
    { layer: "application", declared: tiers.length > 0, field: "tiers", nearest: "declare at least one tier under `tiers`" },
    {
      layer: "processing",
      declared: sized.length === 0,
      field: `tiers.${sized[0] ?? ""}`,
      nearest: `give ${sized.join(", ")} a \`size\` and a \`kind\` (vm, container or auto)`,
    },
    {
      layer: "storage",
      declared: vapp["storage"] !== undefined || tiers.some(({ tier }) => tier["volumes"] !== undefined),
      field: "storage",
      nearest: "add `storage: none` or `volumes` to a tier",
    },
    {
      layer: "network",
      declared: vapp["segments"] !== undefined,
      field: "segments",
      nearest: "add `segments: none` or `segments: { lan: {} }`",
    },
    {
      layer: "management",
      declared: vapp["management"] !== undefined,
      field: "management",
      nearest: "add `management: none` or `management: { lease: 30d }`",
    },
    {
      layer: "security",
      declared: vapp["security"] !== undefined,
      field: "security",
      nearest: "add `security: none` or `security: { exposure: [...] }`",
    },
  ];
  return checks
    .filter(({ declared }) => !declared)
    .map(({ layer, field, nearest }) => ({
      constraint: `the ${layer} layer is not declared; each of the seven layers is declared or explicitly none`,
      source: `${source}, vapp.${field}`,
      nearest,
    }));
}

/** The fields of what should be an object; none when it is something else. */
export function fieldsOf(value: unknown): Fields {
  return typeof value === "object" && value !== null && !Array.isArray(value) ? (value as Fields) : {};
}
