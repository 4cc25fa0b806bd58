/**
 * The import table of docs/architecture as data: folders are layers, and a layer imports only what is listed here. The overrides in
 * `.oxlintrc.json` are generated from it (for editors), and `test/tidy.test.ts` checks the real import graph with it (for the gate).
 * A layer may always import itself; in `providers`, `fabrics` and `adapters` "itself" is one sub-folder: adapters are no library for
 * each other. Cross-layer imports are spelled `#layer/file.ts`.
 */

export interface Layer {
  /** Folder under `src/`, or the file itself for `main.ts`. A trailing `/*` makes every sub-folder a layer of its own. */
  readonly path: string;
  /** Other layers it may import. */
  readonly may: readonly string[];
  /** Why not the others, in one sentence for the lint message. */
  readonly why: string;
}

const everything = [
  "domain",
  "lib",
  "store",
  "engine",
  "provider",
  "fabric",
  "adapter",
  "process",
  "providers",
  "fabrics",
  "adapters",
  "processes",
  "app",
  "api",
  "agent",
  "testing",
  "sdk",
  "cli",
  "web",
  "main.ts",
] as const;

/** Most specific path first: `cli/local` before `cli`. */
export const layers: readonly Layer[] = [
  { path: "domain", may: [], why: "domain is pure and runs in the browser" },
  { path: "lib", may: ["domain"], why: "lib knows no noun of ours" },
  { path: "store", may: ["domain", "lib"], why: "store is SQL only" },
  { path: "engine", may: ["domain", "lib", "store"], why: "the engine knows no machines" },
  { path: "provider", may: ["domain"], why: "a contract does not know who implements or calls it" },
  { path: "fabric", may: ["domain"], why: "a contract does not know who implements or calls it" },
  { path: "adapter", may: ["domain"], why: "a contract does not know who implements or calls it" },
  { path: "process", may: ["domain"], why: "a contract does not know who implements or calls it" },
  { path: "providers/*", may: ["provider", "domain", "lib"], why: "a provider stands alone, so that it can be a package of somebody else" },
  { path: "fabrics/*", may: ["fabric", "domain", "lib"], why: "a fabric stands alone, so that it can be a package of somebody else" },
  { path: "adapters/*", may: ["adapter", "domain", "lib"], why: "an adapter stands alone, so that it can be a package of somebody else" },
  { path: "processes", may: ["process", "domain"], why: "built-in processes use the public contract only, so every one can be replaced" },
  {
    path: "app",
    may: ["domain", "lib", "store", "engine", "provider", "fabric", "adapter", "process"],
    why: "use cases know contracts, never their implementations",
  },
  { path: "api", may: ["app", "domain", "lib"], why: "HTTP is a thin edge over the use cases" },
  { path: "agent", may: ["fabric", "fabrics", "domain", "lib"], why: "the agent serves one host and has no database" },
  { path: "testing", may: everything, why: "" },
  { path: "sdk", may: [], why: "the SDK is generated and stands alone" },
  {
    path: "cli/local",
    may: ["cli", "sdk", "domain", "lib", "agent", "main.ts"],
    why: "commands of this machine start the product through main.ts",
  },
  { path: "cli", may: ["sdk", "domain", "cli/local"], why: "the command line is a client of the API" },
  { path: "web", may: ["sdk", "domain"], why: "the console is a client of the API" },
  { path: "main.ts", may: everything, why: "" },
];

/** Packages that only some layers may import. A layer not listed must not. */
export const restrictedPackages: readonly { readonly pattern: string; readonly only: readonly string[]; readonly why: string }[] = [
  { pattern: "^(pg|kysely)(/|$)", only: ["store", "engine", "testing"], why: "all SQL is in store" },
  { pattern: "^@dbos-inc/", only: ["engine", "testing"], why: "DBOS is one driver of the engine and known only there" },
  { pattern: "^fastify(/|$)", only: ["api", "testing"], why: "HTTP frameworks belong to api" },
  { pattern: "^@cedar-policy/", only: ["app", "domain"], why: "one gate decides" },
];

/** `domain` has no I/O and no node: module. */
export const pureLayers: readonly string[] = ["domain"];

/** Layer of a file given as a path below `src/` (`providers/sim/sim.ts` -> `providers/sim`); null for files outside all layers. */
export function layerOf(path: string): { readonly name: string; readonly layer: Layer } | null {
  const sorted = layers.toSorted((a, b) => b.path.length - a.path.length);
  for (const layer of sorted) {
    if (layer.path.endsWith("/*")) {
      const folder = layer.path.slice(0, -1);
      const sub = path.startsWith(folder) ? path.slice(folder.length).split("/") : [];
      if (sub.length > 1) return { name: folder + sub[0], layer };
    } else if (path === layer.path || path.startsWith(`${layer.path}/`)) return { name: layer.path, layer };
  }
  return null;
}

/** Null when `from` may import `to` (both below `src/`), else the reason. Test files may also use `testing`. */
export function importRefusal(from: string, to: string): string | null {
  const a = layerOf(from);
  const b = layerOf(to);
  if (a === null || b === null) return `${a === null ? from : to} is in no layer of tools/layers.ts`;
  if (a.name === b.name) return null;
  const target = b.layer.path.replace("/*", "");
  if (a.layer.may.includes(target)) return null;
  if (from.endsWith(".test.ts") && target === "testing") return null;
  return `${a.name} must not import ${b.name}: ${a.layer.why}`;
}
