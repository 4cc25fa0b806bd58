/** Endpoints: plain configuration of the operator, and what was last seen there. Credentials never leave: views show no configuration. */
import type { EndpointView, EndpointWrite } from "#domain/catalogue.ts";
import { AppError, isAppError } from "#domain/error.ts";
import { formatId } from "#domain/id.ts";
import type { EndpointDescription } from "#provider/contract.ts";
import type { AppContext, DecidedContext } from "#app/context.ts";
import { checkGeneration, unchanged, type IfGeneration } from "#app/generation.ts";
import { newId } from "#app/new-id.ts";
import { catalogueResource } from "#app/resource.ts";
import { theSite } from "#app/site.ts";
import { auditOf, useCase, write } from "#app/use-case.ts";
import { auditInsert } from "#store/audit.ts";
import { endpointDescribed, endpointList, endpointUnreachable, endpointUpsert } from "#store/site.ts";

type EndpointRow = Awaited<ReturnType<typeof endpointList>>[number];

export const listEndpoints = useCase({ action: "endpoint.read", resource: catalogueResource }, async (ctx): Promise<EndpointView[]> => {
  return (await endpointList(ctx.platform.database)).map((row) => endpointView(ctx, row));
});

/** Creates or changes an endpoint and looks at it at once. An endpoint that does not answer is kept, shown as unreachable. */
export const putEndpoint = useCase(
  { action: "endpoint.write", resource: catalogueResource },
  async (ctx, endpoint: EndpointWrite & { readonly ifGeneration?: IfGeneration }): Promise<EndpointView> => {
    const site = await theSite(ctx, endpoint.site);
    await ctx.platform.endpoints.openProvider(endpoint.provider, endpoint.config).close();
    await write(ctx, async (tx) => {
      const before = (await endpointList(tx)).find(({ name }) => name === endpoint.name);
      const wanted = { name: endpoint.name, site_id: site.id, provider: endpoint.provider };
      // The same again is no change: adapters in use stay open.
      const written = unchanged(before, { ...wanted, config: endpoint.config })
        ? { generation: before.generation + 1 }
        : await endpointUpsert(tx, {
            id: newId("endpoint", ctx.clock),
            organization_id: ctx.platform.operatorId,
            ...wanted,
            config: JSON.stringify(endpoint.config),
          });
      checkGeneration(endpoint.ifGeneration, written.generation, `endpoint ${endpoint.name}`);
      await auditInsert(tx, auditOf(ctx, { endpoint: endpoint.name, provider: endpoint.provider, site: endpoint.site }));
    });
    return look(ctx, endpoint.name);
  },
);

export const checkEndpoint = useCase(
  { action: "endpoint.write", resource: catalogueResource },
  (ctx, name: string): Promise<EndpointView> => look(ctx, name),
);

async function look(ctx: DecidedContext, name: string): Promise<EndpointView> {
  await describeEndpoint(ctx, await theEndpoint(ctx, name), (body) => write(ctx, body));
  return endpointView(ctx, await theEndpoint(ctx, name));
}

/** Asks the endpoint what it is and writes down the answer, or that there was none. */
export async function describeEndpoint(
  ctx: Pick<AppContext, "platform" | "signal" | "log" | "clock">,
  row: EndpointRow,
  record: (body: (tx: Parameters<typeof endpointUnreachable>[0]) => Promise<unknown>) => Promise<unknown>,
): Promise<void> {
  try {
    const description = await ctx.platform.endpoints.providerOf(row).describe(ctx);
    await record((tx) => endpointDescribed(tx, row.id, description));
  } catch (error) {
    const silent = isAppError(error) ? error.retryable : error instanceof DOMException && error.name === "TimeoutError";
    if (!silent) throw error;
    ctx.log.warn(
      { endpoint: row.name, error: isAppError(error) ? (error.internal ?? error.code) : String(error) },
      "endpoint does not answer",
    );
    await record((tx) => endpointUnreachable(tx, row.id));
  }
}

async function theEndpoint(ctx: AppContext, name: string): Promise<EndpointRow> {
  const row = (await endpointList(ctx.platform.database)).find((candidate) => candidate.name === name);
  if (row !== undefined) return row;
  throw new AppError("not_found", `there is no endpoint "${name}"`, {
    detail: [{ constraint: "an endpoint is named as registered", source: "endpoints", nearest: "list them with `strat endpoint ls`" }],
  });
}

function endpointView(ctx: AppContext, row: EndpointRow): EndpointView {
  const description = row.description as unknown as EndpointDescription | null;
  return {
    id: formatId("endpoint", row.id),
    name: row.name,
    site: row.site_name,
    provider: row.provider,
    state: row.state,
    product: description?.product ?? null,
    host: description?.host ?? null,
    architecture: description?.architecture ?? null,
    accelerator: description?.accelerator ?? null,
    vcpus: description?.vcpus ?? null,
    memoryMiB: description?.memoryMiB ?? null,
    machineKinds: [...ctx.platform.endpoints.providerOf(row).capabilities.machineKinds],
    machines: Number(row.machine_count),
    checkedAt: row.checked_at?.toISOString() ?? null,
    generation: row.generation,
  };
}
