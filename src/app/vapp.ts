/** vApps as people see them, and the ways into their machines. */
import type { z } from "zod";
import { AppError } from "#domain/error.ts";
import type { Fact, Layer } from "#domain/fact.ts";
import { formatId, parseId } from "#domain/id.ts";
import type { DesiredMachine } from "#domain/plan.ts";
import type { execRequestSchema, execResultSchema, MachineView, VappSummaryView, VappView } from "#domain/vapp.ts";
import type { AppContext } from "#app/context.ts";
import { priceOf } from "#app/price.ts";
import { organizationResource, projectResource, theProject, theVappNamed } from "#app/resource.ts";
import { machineRef } from "#app/steps/realised.ts";
import { auditOf, useCase } from "#app/use-case.ts";
import { auditInsert } from "#store/audit.ts";
import { offeringList, rateCardCurrent } from "#store/catalogue.ts";
import { projectList } from "#store/installation.ts";
import { siteList } from "#store/site.ts";
import { snapshotList } from "#store/snapshot.ts";
import {
  addressList,
  exposureList,
  factList,
  machineByName,
  machineList,
  machinePage,
  segmentList,
  vappList,
  type VappRow,
} from "#store/vapp.ts";

export interface VappFilter {
  readonly project?: string | undefined;
  readonly deleted?: boolean | undefined;
  readonly after?: string | undefined;
  readonly limit: number;
}

export const listVapps = useCase(
  { action: "vapp.read", resource: (ctx, filter: VappFilter) => scopeOf(ctx, filter.project) },
  async (ctx, filter): Promise<VappSummaryView[]> => {
    const rows = await vappList(ctx.platform.database, {
      organizationId: ctx.actor.organizationId,
      limit: filter.limit,
      deleted: filter.deleted ?? false,
      ...(filter.project === undefined ? {} : { projectIds: [(await theProject(ctx, filter.project)).id] }),
      ...(filter.after === undefined ? {} : { after: parseId("vapp", filter.after) }),
    });
    return summaries(ctx, rows);
  },
);

export const showVapp = useCase(
  { action: "vapp.read", resource: async (ctx, name: string) => projectResource(await theVappNamed(ctx, name)) },
  async (ctx, name): Promise<VappView> => {
    const db = ctx.platform.database;
    const row = await theVappNamed(ctx, name);
    const [summary] = await summaries(ctx, [row]);
    const segments = await segmentList(db, [row.id]);
    const machines = await machineViews(ctx, await machineList(db, [row.id]));
    const names = new Map(machines.map((machine) => [machine.id, machine.name]));
    const exposures = await exposureList(db, [row.id]);
    return {
      ...summary!,
      machines,
      segments: segments.map((segment) => ({
        id: formatId("segment", segment.id),
        name: segment.name,
        isolated: segment.isolated,
        externalName: segment.external_name,
        prefix: segment.prefix,
        gateway: segment.gateway,
        state: segment.state,
      })),
      exposures: exposures.map((exposure) => ({
        id: formatId("exposure", exposure.id),
        name: exposure.name,
        machine: names.get(formatId("machine", exposure.machine_id)) ?? "?",
        segment: segments.find(({ id }) => id === exposure.segment_id)?.name ?? "?",
        targetPort: exposure.target_port,
        address: exposure.address,
        port: exposure.port,
        url: exposure.port === null ? null : `http://${exposure.address}:${exposure.port}/`,
        state: exposure.state,
      })),
      snapshots: (await snapshotList(db, [row.id])).map((snapshot) => ({
        id: formatId("snapshot", snapshot.id),
        name: snapshot.name,
        state: snapshot.state,
        machines: snapshot.machines as unknown as string[],
        takenAt: snapshot.taken_at?.toISOString() ?? null,
      })),
    };
  },
);

export interface MachineFilter {
  readonly vapp?: string | undefined;
  readonly after?: string | undefined;
  readonly limit: number;
}

export const listMachines = useCase(
  {
    action: "vapp.read",
    resource: async (ctx, filter: MachineFilter) =>
      filter.vapp === undefined ? organizationResource(ctx) : projectResource(await theVappNamed(ctx, filter.vapp)),
  },
  async (ctx, filter): Promise<MachineView[]> => {
    const rows = await machinePage(ctx.platform.database, {
      organizationId: ctx.actor.organizationId,
      limit: filter.limit,
      ...(filter.vapp === undefined ? {} : { vappId: (await theVappNamed(ctx, filter.vapp)).id }),
      ...(filter.after === undefined ? {} : { after: parseId("machine", filter.after) }),
    });
    return machineViews(ctx, rows);
  },
);

type ExecInput = z.infer<typeof execRequestSchema> & { readonly vapp: string };

export const execInVapp = useCase(
  { action: "vapp.exec", resource: async (ctx, input: ExecInput) => projectResource(await theVappNamed(ctx, input.vapp)) },
  async (ctx, input): Promise<z.infer<typeof execResultSchema>> => {
    const vapp = await theVappNamed(ctx, input.vapp);
    const machine = await machineByName(ctx.platform.database, vapp.id, input.machine);
    if (machine === undefined) {
      const names = (await machineList(ctx.platform.database, [vapp.id])).map(({ name }) => name);
      throw new AppError("not_found", `${vapp.name} has no machine "${input.machine}"`, {
        detail: [
          {
            constraint: "a command runs in a machine of the vApp",
            source: `vApp ${vapp.name}`,
            nearest: `use one of: ${names.join(", ")}`,
          },
        ],
      });
    }
    if (machine.state === "stopped" || machine.state === "planned") {
      throw new AppError("conflict", `${machine.name} is ${machine.state}`, {
        detail: [
          {
            constraint: "a command runs in a machine that is running",
            source: `machine ${machine.name} of ${vapp.name}`,
            nearest: `start it: strat vapp start ${vapp.name}`,
          },
        ],
      });
    }
    // Arguments may hold anything, so the audit row names the program only.
    await auditInsert(
      ctx.platform.database,
      auditOf(ctx, { vapp: formatId("vapp", vapp.id), machine: machine.name, program: input.argv[0] }),
    );
    const provider = await ctx.platform.endpoints.provider(machine.endpoint_id);
    return provider.channelRun(ctx, machineRef(ctx.platform, machine), {
      argv: input.argv,
      timeoutMs: input.timeoutMs,
      ...(input.stdin === undefined ? {} : { stdin: input.stdin }),
    });
  },
);

async function scopeOf(ctx: AppContext, project: string | undefined) {
  if (project === undefined) return organizationResource(ctx);
  const row = await theProject(ctx, project);
  return projectResource({ organization_id: row.organization_id, project_id: row.id });
}

async function summaries(ctx: AppContext, rows: readonly VappRow[]): Promise<VappSummaryView[]> {
  const db = ctx.platform.database;
  const ids = rows.map(({ id }) => id);
  const card = await rateCardCurrent(db);
  const now = new Date(ctx.clock.now());
  const machines = await machineList(db, ids);
  const exposures = await exposureList(db, ids);
  const projects = new Map((await projectList(db, ctx.actor.organizationId)).map((row) => [row.id, row.name]));
  const sites = new Map((await siteList(db)).map((row) => [row.id, row.name]));
  const offerings = new Map((await offeringList(db)).map((row) => [row.id, `${row.name}@${row.version}`]));
  return rows.map((row) => {
    const price = priceOf(
      {
        desired: row.desired,
        machines: machines.filter((machine) => machine.vapp_id === row.id).map((machine) => machine.spec as unknown as DesiredMachine),
        exposures: exposures.filter((exposure) => exposure.vapp_id === row.id),
      },
      card.document,
      now,
    );
    return {
      id: formatId("vapp", row.id),
      name: row.name,
      project: projects.get(row.project_id) ?? "?",
      site: sites.get(row.site_id) ?? "?",
      offering: offerings.get(row.offering_id) ?? "?",
      parameters: row.parameters as VappSummaryView["parameters"],
      desired: row.desired,
      state: row.state,
      generation: row.generation,
      run: row.run_id === null ? null : formatId("run", row.run_id),
      costPerHour: price.perHour,
      currency: price.currency,
      createdAt: row.created_at.toISOString(),
      deletedAt: row.deleted_at?.toISOString() ?? null,
      deleteAt: row.deleted_at === null ? (row.delete_at?.toISOString() ?? null) : null,
    };
  });
}

async function machineViews(ctx: AppContext, rows: Awaited<ReturnType<typeof machineList>>): Promise<MachineView[]> {
  const db = ctx.platform.database;
  const ids = rows.map(({ id }) => id);
  const addresses = await addressList(db, ids);
  const facts = await factList(db, ids);
  return rows.map((row) => ({
    id: formatId("machine", row.id),
    name: row.name,
    vapp: row.vapp_name,
    tier: row.tier,
    ordinal: row.ordinal,
    kind: row.kind,
    site: row.site_name,
    endpoint: row.endpoint_name,
    provider: row.provider,
    externalName: row.external_name,
    image: row.image,
    size: row.size,
    vcpus: row.vcpus,
    memoryMiB: row.memory_mib,
    desired: row.desired,
    state: row.state,
    stateAt: row.state_at.toISOString(),
    healthyAt: row.healthy_at?.toISOString() ?? null,
    reason: row.reason,
    addresses: addresses
      .filter(({ machine_id }) => machine_id === row.id)
      .map(({ segment_name, address, mac }) => ({ segment: segment_name, address, mac })),
    facts: facts
      .filter(({ subject_id }) => subject_id === row.id)
      .map((fact): Fact => ({
        layer: fact.layer as Layer,
        name: fact.name,
        value: fact.value as Fact["value"],
        source: fact.source,
        observedAt: fact.observed_at.toISOString(),
      })),
  }));
}
