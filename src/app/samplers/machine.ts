/**
 * Samplers of machines: events as they come and a periodic look at everything, into facts with source and time. Non-durable: a lost
 * sample is made up for by the next look, never invented. They run in one control-plane process at a time.
 *
 * What they see changes what is known about a machine, never what is wanted of it.
 */
import type { FactInput } from "#domain/change.ts";
import type { CallContext } from "#domain/context.ts";
import { driftMerged, driftOf, type Drift } from "#domain/drift.ts";
import { isAppError } from "#domain/error.ts";
import { canonicalJson } from "#domain/json.ts";
import type { DesiredMachine } from "#domain/plan.ts";
import type { MachineEvent, MachineFacts } from "#provider/contract.ts";
import { machineDrifted, machineInState } from "#app/changes.ts";
import type { Platform } from "#app/context.ts";
import { describeEndpoint } from "#app/endpoint.ts";
import { isWell } from "#app/run-finish.ts";
import { observedFacts } from "#app/steps/machine.ts";
import { machineRef } from "#app/steps/realised.ts";
import { transact, type Tx } from "#store/database.ts";
import { endpointList, type EndpointRow } from "#store/site.ts";
import { factPutMany, machineList, machinesHeld, machinesOfEndpoint, nicList, vappLock, vappUpdate, type MachineRow } from "#store/vapp.ts";

/** A watch whose keeper has not come by for this long is no longer the leader's and ends itself. */
const keeperSilenceMs = 10_000;
const callTimeoutMs = 10_000;

/** Keeps one event subscription per endpoint. Call `tick` from the leader's loop. */
export class MachineWatches {
  readonly #platform: Platform;
  readonly #open = new Map<string, AbortController>();
  #tickedAt = 0;

  constructor(platform: Platform) {
    this.#platform = platform;
  }

  async tick(ctx: CallContext): Promise<void> {
    this.#tickedAt = ctx.clock.now();
    const endpoints = await managedEndpoints(this.#platform);
    for (const endpoint of endpoints) {
      if (!this.#open.has(endpoint.id)) this.#subscribe(ctx, endpoint);
    }
    const known = new Set(endpoints.map(({ id }) => id));
    for (const [id, controller] of this.#open) if (!known.has(id)) controller.abort();
  }

  close(): void {
    for (const controller of this.#open.values()) controller.abort();
    this.#open.clear();
  }

  #subscribe(ctx: CallContext, endpoint: EndpointRow): void {
    const provider = this.#platform.endpoints.providerOf(endpoint);
    if (!provider.capabilities.events) return;
    const controller = new AbortController();
    this.#open.set(endpoint.id, controller);
    const own = { log: ctx.log, clock: ctx.clock, signal: controller.signal };
    // Events of one endpoint are written one after the other, so the last one wins.
    let queue: Promise<void> = Promise.resolve();
    const onEvent = (event: MachineEvent) => {
      if (own.clock.now() - this.#tickedAt > keeperSilenceMs) return controller.abort();
      queue = queue
        .then(() => this.#write(own, endpoint, event))
        .catch((error: unknown) => own.log.warn({ endpoint: endpoint.name, error: String(error) }, "an event was lost"));
    };
    // What happened before the subscription stood is seen by a look at everything.
    const onReady = () =>
      void sampleEndpoint(this.#platform, own, endpoint).catch((error: unknown) =>
        own.log.debug({ error: String(error) }, "first look failed"),
      );
    void provider
      .watch(own, onEvent, onReady)
      .catch((error: unknown) => own.log.debug({ endpoint: endpoint.name, error: String(error) }, "event subscription ended"))
      .finally(() => this.#open.delete(endpoint.id));
  }

  async #write(ctx: CallContext, endpoint: EndpointRow, event: MachineEvent): Promise<void> {
    const machine = (await machinesOfEndpoint(this.#platform.database, endpoint.id)).find((row) => row.external_name === event.name);
    if (machine === undefined) return;
    const source = sourceOf(this.#platform, endpoint);
    if (event.power === null) return lookAgain(this.#platform, ctx, endpoint, machine);
    const power = event.power === "removed" ? "missing" : event.power;
    const fact: FactInput = { layer: "processing", name: "power", value: power, source };
    await transact(this.#platform.database, ctx, async (tx) => {
      // The vApp's lock first, as in every transaction that changes one.
      await notice(ctx, tx, machine, { state: power }, `${source} event ${event.reason}`);
      await factsKeep(tx, [{ subjectId: machine.id, fact }], ctx.clock.now());
    });
  }
}

/** Where we only observe there is nothing of ours to look for. */
async function managedEndpoints(platform: Platform): Promise<EndpointRow[]> {
  return (await endpointList(platform.database)).filter(({ mode }) => mode === "manage");
}

/** Looks at every endpoint side by side; one that does not answer is marked and does not hold up the others. */
export async function sampleEndpoints(platform: Platform, ctx: CallContext): Promise<void> {
  const endpoints = await managedEndpoints(platform);
  await Promise.all(
    endpoints.map(async (endpoint) => {
      try {
        await sampleEndpoint(platform, ctx, endpoint);
      } catch (error) {
        ctx.log.warn(
          { endpoint: endpoint.name, error: isAppError(error) ? (error.internal ?? error.message) : String(error) },
          "endpoint could not be sampled",
        );
      }
    }),
  );
}

/** Describes every endpoint anew: capacity and reachability for placement. */
export async function describeEndpoints(platform: Platform, ctx: CallContext): Promise<void> {
  const endpoints = await endpointList(platform.database);
  const record = (body: (tx: Tx) => Promise<unknown>) => transact(platform.database, ctx, body);
  await Promise.all(endpoints.map((endpoint) => describeEndpoint({ ...timed(ctx), platform }, endpoint, record)));
}

/** Facts of this many machines are written in one transaction: locks are short, whatever the size of the endpoint. */
const machinesPerTransaction = 200;

async function sampleEndpoint(platform: Platform, ctx: CallContext, endpoint: EndpointRow): Promise<void> {
  const startedAt = ctx.clock.now();
  const seen = new Map((await platform.endpoints.providerOf(endpoint).machineList(timed(ctx))).map((facts) => [facts.name, facts]));
  // In the order of their ids, so that two looks at once take the rows in the same order.
  const rows = (await machinesOfEndpoint(platform.database, endpoint.id)).toSorted((a, b) => (a.id < b.id ? -1 : 1));
  for (let from = 0; from < rows.length; from += machinesPerTransaction) {
    await sampleMachines(platform, ctx, endpoint, rows.slice(from, from + machinesPerTransaction), seen, startedAt);
  }
}

/** One machine, because an event said that something about it changed. */
async function lookAgain(platform: Platform, ctx: CallContext, endpoint: EndpointRow, row: MachineRow): Promise<void> {
  const startedAt = ctx.clock.now();
  const facts = await platform.endpoints.providerOf(endpoint).machineObserve(timed(ctx), machineRef(platform, row));
  const seen = new Map(facts === null ? [] : [[facts.name, facts] as const]);
  await sampleMachines(platform, ctx, endpoint, [row], seen, startedAt);
}

async function sampleMachines(
  platform: Platform,
  ctx: CallContext,
  endpoint: EndpointRow,
  rows: readonly MachineRow[],
  seen: ReadonlyMap<string, MachineFacts>,
  startedAt: number,
): Promise<void> {
  const source = sourceOf(platform, endpoint);
  const ours = new Map(rows.map((row) => [row.id, oursOf(platform, row, seen.get(row.external_name))]));
  const facts = rows.flatMap((row) => {
    const found = ours.get(row.id);
    return found == null ? [] : observedFacts(source, found).map((fact) => ({ subjectId: row.id, fact }));
  });
  await transact(platform.database, ctx, (tx) => factsKeep(tx, facts, startedAt));
  const nics = Map.groupBy(
    await nicList(
      platform.database,
      rows.map(({ id }) => id),
    ),
    ({ machine_id }) => machine_id,
  );
  for (const row of rows) {
    // Changed since we looked: what we saw may be older than what is known.
    if (row.state === "planned" || row.state === "deleted" || row.state_at.getTime() >= startedAt) continue;
    const found = ours.get(row.id) ?? null;
    const state = found?.power ?? "missing";
    const drift = found === null ? row.drift : driftSeen(row, found, nics.get(row.id) ?? []);
    if (state === row.state && canonicalJson(drift) === canonicalJson(row.drift)) continue;
    await transact(platform.database, ctx, (tx) => notice(ctx, tx, row, { state, drift: (drift ?? []) as never }, source, startedAt));
  }
}

/** Null when it is missing or somebody else's. */
function oursOf(platform: Platform, row: MachineRow, found: MachineFacts | undefined): MachineFacts | null {
  return found?.owner?.object === row.id && found.owner.installation === platform.installationId ? found : null;
}

/** Null when there is none. What a repair could not bring back stays stuck until it is gone. */
function driftSeen(row: MachineRow, found: MachineFacts, nics: Awaited<ReturnType<typeof nicList>>): Drift[] | null {
  const spec = row.spec as unknown as DesiredMachine;
  const desired = { ...spec, nics: nics.map(({ mac, attachment }) => ({ mac, attachment: attachment ?? "" })) };
  const known = (row.drift ?? []) as unknown as Drift[];
  const shape = driftOf(desired, found, false).map((one) => ({
    ...one,
    stuck: known.some((before) => before.name === one.name && before.stuck),
  }));
  const drift = driftMerged(known, shape, "shape");
  return drift.length === 0 ? null : drift;
}

/** A machine that a run is changing at this moment is left to the next look. */
async function factsKeep(tx: Tx, facts: readonly { subjectId: string; fact: FactInput }[], observedAtMs: number): Promise<void> {
  const held = await machinesHeld(tx, [...new Set(facts.map(({ subjectId }) => subjectId))]);
  await factPutMany(
    tx,
    facts.filter(({ subjectId }) => held.has(subjectId)),
    new Date(observedAtMs),
  );
}

interface Seen {
  readonly state: MachineRow["state"];
  /** Absent: nobody looked. */
  readonly drift?: readonly Drift[];
}

/** Writes what was seen from outside. While a run holds the vApp, only the run knows what it means for the vApp. */
async function notice(
  ctx: CallContext,
  tx: Tx,
  machine: MachineRow,
  { state, drift }: Seen,
  source: string,
  seenAtMs = Number.POSITIVE_INFINITY,
): Promise<void> {
  const vapp = await vappLock(tx, machine.vapp_id);
  if (vapp === undefined || vapp.deleted_at !== null) return;
  // A machine about to be removed by a run is not missing.
  if (vapp.run_id !== null && state === "missing") return;
  const now = (await machineList(tx, [vapp.id])).find(({ id }) => id === machine.id);
  if (now === undefined || now.state === "planned" || now.state === "deleted") return;
  // While we waited for the vApp somebody learned something newer.
  if (now.state_at.getTime() >= seenAtMs) return;
  const change = { clock: ctx.clock, source };
  await machineInState(change, tx, vapp, now, state);
  if (vapp.run_id !== null) return;
  if (drift !== undefined && state !== "missing") {
    const known = (now.drift ?? []) as unknown as Drift[];
    await machineDrifted(change, tx, vapp, now, driftMerged(known, drift, "shape"));
  }
  if (vapp.state !== "active" && vapp.state !== "degraded") return;
  await vappUpdate(tx, vapp.id, { state: (await machineList(tx, [vapp.id])).every(isWell) ? "active" : "degraded" });
}

function sourceOf(platform: Platform, endpoint: EndpointRow): string {
  return `${platform.endpoints.providerOf(endpoint).kind}:${endpoint.name}`;
}

function timed(ctx: CallContext): CallContext {
  return { ...ctx, signal: AbortSignal.any([ctx.signal, AbortSignal.timeout(callTimeoutMs)]) };
}
