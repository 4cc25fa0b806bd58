/**
 * Open adapters, one per endpoint and site row. A changed row (generation) is opened anew. Which kinds there are is decided in the
 * composition root; `app` knows only contracts.
 */
import { AppError } from "#domain/error.ts";
import type { Fabric, FabricFactory } from "#fabric/contract.ts";
import type { Provider, ProviderFactory } from "#provider/contract.ts";
import type { Database } from "#store/database.ts";
import { endpointById, siteById } from "#store/site.ts";

interface Opened<T> {
  readonly generation: number;
  readonly adapter: T;
  /** Adapters of earlier generations that calls may still be using. */
  readonly retired: readonly T[];
}

/** Longer than any call takes. */
const retirementMs = 120_000;

export class EndpointRegistry {
  readonly #database: Database;
  readonly #providerKinds: ReadonlyMap<string, ProviderFactory>;
  readonly #fabricKinds: ReadonlyMap<string, FabricFactory>;
  readonly #providers = new Map<string, Opened<Provider>>();
  readonly #fabrics = new Map<string, Opened<Fabric>>();

  constructor(database: Database, providers: readonly ProviderFactory[], fabrics: readonly FabricFactory[]) {
    this.#database = database;
    this.#providerKinds = new Map(providers.map((factory) => [factory.kind, factory]));
    this.#fabricKinds = new Map(fabrics.map((factory) => [factory.kind, factory]));
  }

  /** A provider of that kind, opened with this configuration and not kept: for checks before a row is written. */
  openProvider(kind: string, config: unknown): Provider {
    return known(this.#providerKinds, kind, "provider").open(config);
  }

  openFabric(kind: string, config: unknown): Fabric {
    return known(this.#fabricKinds, kind, "fabric").open(config);
  }

  async provider(endpointId: string): Promise<Provider> {
    const row = await endpointById(this.#database, endpointId);
    if (row === undefined) throw new AppError("not_found", "there is no such endpoint", { internal: endpointId });
    return this.providerOf(row);
  }

  /** As `provider`, for a row the caller already has. */
  providerOf(row: { readonly id: string; readonly generation: number; readonly provider: string; readonly config: unknown }): Provider {
    return keep(this.#providers, row.id, row.generation, () => this.openProvider(row.provider, row.config));
  }

  async fabric(siteId: string): Promise<Fabric> {
    const row = await siteById(this.#database, siteId);
    if (row === undefined) throw new AppError("not_found", "there is no such site", { internal: siteId });
    return keep(this.#fabrics, row.id, row.generation, () => this.openFabric(row.fabric_kind, row.fabric_config));
  }

  async close(): Promise<void> {
    const held = [...this.#providers.values(), ...this.#fabrics.values()].flatMap(({ adapter, retired }) => [adapter, ...retired]);
    await Promise.allSettled(held.map((adapter) => adapter.close()));
  }
}

/** Rows that callers read a while ago never bring an old configuration back. */
function keep<T extends { close(): Promise<void> }>(map: Map<string, Opened<T>>, id: string, generation: number, open: () => T): T {
  const held = map.get(id);
  if (held !== undefined && held.generation >= generation) return held.adapter;
  const adapter = open();
  map.set(id, { generation, adapter, retired: held === undefined ? [] : [...held.retired, held.adapter] });
  if (held !== undefined) setTimeout(() => retire(map, id, held.adapter), retirementMs).unref();
  return adapter;
}

function retire<T extends { close(): Promise<void> }>(map: Map<string, Opened<T>>, id: string, adapter: T): void {
  const opened = map.get(id);
  if (opened !== undefined) map.set(id, { ...opened, retired: opened.retired.filter((other) => other !== adapter) });
  void adapter.close();
}

function known<T>(kinds: ReadonlyMap<string, T>, kind: string, noun: string): T {
  const factory = kinds.get(kind);
  if (factory !== undefined) return factory;
  throw new AppError("invalid_input", `there is no ${noun} "${kind}"`, {
    detail: [
      { constraint: `a ${noun} is one of ${[...kinds.keys()].join(", ")}`, source: `built-in ${noun}s`, nearest: "use one of them" },
    ],
  });
}
