/**
 * Open adapters, one per endpoint and site row. A changed row (generation) is opened anew. Which kinds there are is decided in the
 * composition root; `app` knows only contracts. Credentials are unsealed here, for the provider that is opened with them, and nowhere else;
 * a provider of an endpoint that is only observed leaves this file only in its wrapper (observe-only.ts).
 */
import { z } from "zod";
import { joinSecrets, type ConfigSecret, type EndpointMode } from "#domain/endpoint.ts";
import { AppError } from "#domain/error.ts";
import type { Json } from "#domain/json.ts";
import { refusalsOfIssues } from "#domain/refusal.ts";
import { noFabricFactory } from "#app/no-fabric.ts";
import { observeOnly } from "#app/observe-only.ts";
import type { SecretBox } from "#app/secret-box.ts";
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

/** What of an endpoint's row it takes to open it. */
export interface EndpointKey {
  readonly id: string;
  readonly name: string;
  readonly generation: number;
  readonly provider: string;
  readonly config: Json;
  readonly mode: EndpointMode;
  readonly sealed: Buffer | null;
}

export class EndpointRegistry {
  readonly #database: Database;
  readonly #secrets: SecretBox;
  readonly #providerKinds: ReadonlyMap<string, ProviderFactory>;
  readonly #fabricKinds: ReadonlyMap<string, FabricFactory>;
  readonly #providers = new Map<string, Opened<Provider>>();
  readonly #fabrics = new Map<string, Opened<Fabric>>();

  constructor(database: Database, secrets: SecretBox, providers: readonly ProviderFactory[], fabrics: readonly FabricFactory[]) {
    this.#database = database;
    this.#secrets = secrets;
    this.#providerKinds = new Map(providers.map((factory) => [factory.kind, factory]));
    this.#fabricKinds = new Map([noFabricFactory, ...fabrics].map((factory) => [factory.kind, factory]));
  }

  /** A provider of that kind, opened with this configuration and not kept: for checks before a row is written. The caller closes it. */
  openProvider({ name, provider, config, mode }: Pick<EndpointKey, "name" | "provider" | "config" | "mode">): Provider {
    const factory = known(this.#providerKinds, provider, "provider");
    const observed = mode === "observe";
    const opened = parsed("provider", () => factory.open(observed ? (factory.readOnly?.(config) ?? config) : config));
    return observed ? observeOnly(opened, name) : opened;
  }

  openFabric(kind: string, config: unknown): Fabric {
    return parsed("fabric", () => known(this.#fabricKinds, kind, "fabric").open(config));
  }

  async provider(endpointId: string): Promise<Provider> {
    const row = await endpointById(this.#database, endpointId);
    if (row === undefined) throw new AppError("not_found", "there is no such endpoint", { internal: endpointId });
    return this.providerOf(row);
  }

  /** As `provider`, for a row the caller already has. */
  providerOf(row: EndpointKey): Provider {
    return keep(this.#providers, row.id, row.generation, () => this.openProvider({ ...row, config: this.configOf(row) }));
  }

  /** With its secrets: for opening and for comparing, never for showing. */
  configOf({ name, config, sealed }: Pick<EndpointKey, "name" | "config" | "sealed">): Json {
    return sealed === null ? config : joinSecrets(config, JSON.parse(this.#secrets.open(sealPlace(name), sealed)) as ConfigSecret[]);
  }

  /** Null when there is nothing to seal. */
  seal(name: string, secrets: readonly ConfigSecret[]): Buffer | null {
    return secrets.length === 0 ? null : this.#secrets.seal(sealPlace(name), JSON.stringify(secrets));
  }

  /** Closes what is open of endpoints and sites that are not there any more. */
  async forget(id: string): Promise<void> {
    for (const map of [this.#providers, this.#fabrics] as Map<string, Opened<{ close(): Promise<void> }>>[]) {
      const opened = map.get(id);
      map.delete(id);
      await Promise.allSettled([...(opened?.retired ?? []), ...(opened === undefined ? [] : [opened.adapter])].map((one) => one.close()));
    }
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

/** Names are unique and never change, so a sealed row copied to another endpoint does not open. */
function sealPlace(endpoint: string): string {
  return `endpoint/${endpoint}`;
}

/** Adapters parse with schemas of their own; what these say is the caller's to hear. Values are not repeated: they may be secret. */
function parsed<T>(noun: string, open: () => T): T {
  try {
    return open();
  } catch (cause) {
    if (!(cause instanceof z.ZodError)) throw cause;
    throw new AppError("invalid_input", `the configuration is not what this ${noun} takes`, {
      detail: refusalsOfIssues(cause.issues, "config"),
    });
  }
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
