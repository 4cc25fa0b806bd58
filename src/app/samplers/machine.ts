/**
 * Samplers of machines: events as they come and a periodic look at everything, into facts with source and time. Non-durable: a lost
 * sample is made up for by the next look, never invented. They run in one control-plane process at a time.
 *
 * What they see changes what is known about a machine, never what is wanted of it.
 */
import type { FactInput } from "#domain/change.ts";
import type { CallContext } from "#domain/context.ts";
import { isAppError } from "#domain/error.ts";
import type { MachineEvent, MachineFacts } from "#provider/contract.ts";
import { machineInState } from "#app/changes.ts";
import type { Platform } from "#app/context.ts";
import { describeEndpoint } from "#app/endpoint.ts";
import { machineObserved } from "#app/steps/machine.ts";
import { transact, type Tx } from "#store/database.ts";
import { endpointList } from "#store/site.ts";
import { factPutMany, machineList, machinesHeld, machinesOfEndpoint, vappLock, vappUpdate, type MachineRow } from "#store/vapp.ts";

type EndpointRow = Awaited<ReturnType<typeof endpointList>>[number];

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
    for (const endpoint of await endpointList(this.#platform.database)) {
      if (!this.#open.has(endpoint.id)) this.#subscribe(ctx, endpoint);
    }
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
    const power = event.power === "removed" ? "missing" : event.power;
    const fact: FactInput = { layer: "processing", name: "power", value: power, source };
    await transact(this.#platform.database, ctx, async (tx) => {
      // The vApp's lock first, as in every transaction that changes one.
      await noticeState(ctx, tx, machine, power, `${source} event ${event.reason}`);
      await factsKeep(tx, [{ subjectId: machine.id, fact }], ctx.clock.now());
    });
  }
}

/** Looks at every endpoint side by side; one that does not answer is marked and does not hold up the others. */
export async function sampleEndpoints(platform: Platform, ctx: CallContext): Promise<void> {
  const endpoints = await endpointList(platform.database);
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

async function sampleEndpoint(platform: Platform, ctx: CallContext, endpoint: EndpointRow): Promise<void> {
  const startedAt = ctx.clock.now();
  const seen = new Map((await platform.endpoints.providerOf(endpoint).machineList(timed(ctx))).map((facts) => [facts.name, facts]));
  const rows = await machinesOfEndpoint(platform.database, endpoint.id);
  const source = sourceOf(platform, endpoint);
  const facts = rows.flatMap((row) => factsOf(platform, row, seen.get(row.external_name), source));
  await transact(platform.database, ctx, (tx) => factsKeep(tx, facts, startedAt));
  for (const row of rows) {
    // Changed since we looked: what we saw may be older than what is known.
    if (row.state === "planned" || row.state === "deleted" || row.state_at.getTime() >= startedAt) continue;
    const found = seen.get(row.external_name);
    const state = found?.owner?.object === row.id ? found.power : "missing";
    if (state !== row.state) await transact(platform.database, ctx, (tx) => noticeState(ctx, tx, row, state, source, startedAt));
  }
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

function factsOf(
  platform: Platform,
  row: MachineRow,
  found: MachineFacts | undefined,
  source: string,
): { subjectId: string; fact: FactInput }[] {
  if (found === undefined || found.owner?.object !== row.id || found.owner.installation !== platform.installationId) return [];
  const change = machineObserved(row.name, source, found);
  return change.type === "machine.observed" ? change.facts.map((fact) => ({ subjectId: row.id, fact })) : [];
}

/** Writes a state seen from outside. While a run holds the vApp, only the run knows what the state means for the vApp. */
async function noticeState(
  ctx: CallContext,
  tx: Tx,
  machine: MachineRow,
  state: MachineRow["state"],
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
  await machineInState({ clock: ctx.clock, source }, tx, vapp, now, state);
  if (vapp.run_id !== null || (vapp.state !== "active" && vapp.state !== "degraded")) return;
  const machines = await machineList(tx, [vapp.id]);
  const well = machines.every((row) => row.state === row.desired);
  await vappUpdate(tx, vapp.id, { state: well ? "active" : "degraded" });
}

function sourceOf(platform: Platform, endpoint: EndpointRow): string {
  return `${platform.endpoints.providerOf(endpoint).kind}:${endpoint.name}`;
}

function timed(ctx: CallContext): CallContext {
  return { ...ctx, signal: AbortSignal.any([ctx.signal, AbortSignal.timeout(callTimeoutMs)]) };
}
