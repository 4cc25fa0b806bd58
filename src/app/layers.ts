/** The truth about a vApp, layer by layer: reads what is known in a fixed number of queries and hands it to the engine in `domain`. */
import type { Offering } from "#domain/blueprint.ts";
import type { RenderedVapp } from "#domain/blueprint-render.ts";
import { formatId } from "#domain/id.ts";
import type { LayerEndpoint, LayerFacts } from "#domain/layer-facts.ts";
import { layerView } from "#domain/layer-render.ts";
import type { VappLayers } from "#domain/layer-view.ts";
import type { DesiredMachine } from "#domain/plan.ts";
import type { AppContext } from "#app/context.ts";
import { exposureOf, grouped, machineOf, orderOf, segmentOf } from "#app/layer-rows.ts";
import { priceOf } from "#app/price.ts";
import { projectResource, theVappNamed } from "#app/resource.ts";
import { useCase } from "#app/use-case.ts";
import { offeringById, rateCardCurrent } from "#store/catalogue.ts";
import { projectById } from "#store/installation.ts";
import { layerConfigured, layerEndpoints, layerGrants, layerLedger, layerOrders, layerSetBy } from "#store/layer.ts";
import { snapshotList } from "#store/snapshot.ts";
import { addressList, exposureList, factList, machineList, secretList, segmentList, type VappRow } from "#store/vapp.ts";

export const showLayers = useCase(
  { action: "vapp.read", resource: async (ctx, name: string) => projectResource(await theVappNamed(ctx, name)) },
  async (ctx, name): Promise<VappLayers> => layerView(await layerFacts(ctx, await theVappNamed(ctx, name))),
);

async function layerFacts(ctx: AppContext, vapp: VappRow): Promise<LayerFacts> {
  const db = ctx.platform.database;
  const machines = await machineList(db, [vapp.id]);
  const segments = await segmentList(db, [vapp.id]);
  const exposures = await exposureList(db, [vapp.id]);
  const orders = await layerOrders(db, vapp.id);
  const orderIds = orders.map(({ id }) => id);
  const addresses = await addressList(
    db,
    machines.map(({ id }) => id),
  );
  const factsOf = grouped(await factList(db, [vapp.id, ...[...machines, ...segments, ...exposures].map(({ id }) => id)]));
  const card = await rateCardCurrent(db);
  const specs = machines.map((machine) => machine.spec as unknown as DesiredMachine);
  const price = priceOf({ desired: vapp.desired, machines: specs, exposures }, card.document, new Date(ctx.clock.now()));
  const offering = await offeringById(db, vapp.offering_id);
  const byId = new Map(orders.map((row) => [row.id, orderOf(row)]));
  return {
    at: ctx.clock.now(),
    vapp: {
      id: formatId("vapp", vapp.id),
      name: vapp.name,
      project: (await projectById(db, vapp.project_id))?.name ?? "?",
      desired: vapp.desired,
      state: vapp.state,
      generation: vapp.generation,
      createdAt: vapp.created_at.getTime(),
      deleteAt: vapp.deleted_at === null ? (vapp.delete_at?.getTime() ?? null) : null,
      costPerHour: price.perHour,
      currency: price.currency,
      run: vapp.run_id === null ? null : formatId("run", vapp.run_id),
      facts: factsOf(vapp.id),
    },
    offering: offering!.document as unknown as Offering,
    blueprint: vapp.blueprint as unknown as RenderedVapp,
    machines: machines.map((row) => machineOf(row, addresses, factsOf(row.id))),
    segments: segments.map((row) => segmentOf(row, factsOf(row.id))),
    exposures: exposures.map((row) => exposureOf(row, machines, segments, factsOf(row.id))),
    snapshots: (await snapshotList(db, [vapp.id])).map((row) => ({
      name: row.name,
      state: row.state,
      machines: row.machines as unknown as string[],
      takenAt: row.taken_at?.getTime() ?? null,
    })),
    secrets: (await secretList(db, vapp.id)).map((row) => ({ name: row.name, createdAt: row.created_at.getTime() })),
    endpoints: await endpointsOf(ctx, [...new Set(machines.map((row) => row.endpoint_id))]),
    grants: await layerGrants(db, vapp.organization_id, vapp.project_id),
    orders: orders.map((row) => byId.get(row.id)!),
    setBy: (await layerSetBy(db, orderIds)).map(({ kind, subject, order_id }) => ({ kind, subject, order: byId.get(order_id)! })),
    configured: (await layerConfigured(db, orderIds)).map(({ machine, generation, at, run_id }) => ({
      machine,
      generation,
      at: at.getTime(),
      run: formatId("run", run_id),
    })),
    ledger: (await layerLedger(db, vapp)).map((row) => ({
      resource: formatId("machine", row.resource_id),
      name: row.name,
      state: row.state,
      at: row.effective_at.getTime(),
    })),
  };
}

async function endpointsOf(ctx: AppContext, ids: readonly string[]): Promise<LayerEndpoint[]> {
  const rows = await layerEndpoints(ctx.platform.database, ids);
  return rows.map((row) => {
    const { capabilities } = ctx.platform.endpoints.providerOf(row);
    const { name, provider, state } = row;
    const { console, channel } = capabilities;
    return { name, provider, state, checkedAt: row.checked_at?.getTime() ?? null, console, channel };
  });
}
