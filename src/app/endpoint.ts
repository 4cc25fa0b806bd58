/**
 * Endpoints: plain configuration of the operator, and what was last seen there. Credentials never leave: views show no configuration, and
 * what of it is secret is sealed (endpoint-registry.ts).
 */
import type { EndpointView, EndpointWrite } from "#domain/catalogue.ts";
import { splitSecrets, type EndpointMode } from "#domain/endpoint.ts";
import { AppError, isAppError } from "#domain/error.ts";
import { formatId } from "#domain/id.ts";
import type { Json } from "#domain/json.ts";
import type { EndpointDescription } from "#provider/contract.ts";
import type { AppContext, DecidedContext } from "#app/context.ts";
import { checkGeneration, unchanged, type IfGeneration } from "#app/generation.ts";
import { newId } from "#app/new-id.ts";
import { catalogueResource } from "#app/resource.ts";
import { theSite } from "#app/site.ts";
import { auditOf, useCase, write } from "#app/use-case.ts";
import { advisoryLock } from "#store/advisory-lock.ts";
import { auditInsert } from "#store/audit.ts";
import type { Tx } from "#store/database.ts";
import {
  endpointDescribed,
  endpointHolds,
  endpointList,
  endpointRemove,
  endpointUnreachable,
  endpointUpsert,
  type EndpointRow,
} from "#store/site.ts";

const namesListed = 12;

export const listEndpoints = useCase({ action: "endpoint.read", resource: catalogueResource }, async (ctx): Promise<EndpointView[]> => {
  return (await endpointList(ctx.platform.database)).map((row) => endpointView(ctx, row));
});

/** Creates or changes an endpoint and looks at it at once. An endpoint that does not answer is kept, shown as unreachable. */
export const putEndpoint = useCase(
  { action: "endpoint.write", resource: catalogueResource },
  async (ctx, endpoint: EndpointWrite & { readonly ifGeneration?: IfGeneration }): Promise<EndpointView> => {
    const { endpoints } = ctx.platform;
    const { name, provider, config } = endpoint;
    const mode = endpoint.mode ?? "manage";
    await endpoints.openProvider({ name, provider, config, mode }).close();
    const { open, secrets } = splitSecrets(config);
    await write(ctx, async (tx) => {
      await advisoryLock(tx, "capacity");
      const site = await theSite(ctx, endpoint.site, tx);
      const before = (await endpointList(tx)).find((row) => row.name === name);
      const known = before === undefined ? undefined : { ...before, config: configKnown(ctx, before) };
      const wanted = { name, site_id: site.id, provider, mode };
      mayManage(name, mode, site);
      if (before !== undefined && (before.mode !== mode || before.site_id !== site.id))
        await mustBeEmpty(tx, before, before.mode === mode ? "be moved to another site" : "be only observed");
      // The same again is no change: adapters in use stay open.
      const written = unchanged(known, { ...wanted, config })
        ? { generation: known.generation + 1 }
        : await endpointUpsert(tx, {
            id: newId("endpoint", ctx.clock),
            organization_id: ctx.platform.operatorId,
            ...wanted,
            config: JSON.stringify(open),
            sealed: endpoints.seal(name, secrets),
          });
      checkGeneration(endpoint.ifGeneration, written.generation, `endpoint ${name}`);
      await auditInsert(tx, auditOf(ctx, { endpoint: name, provider, site: endpoint.site, mode }));
    });
    return look(ctx, name);
  },
);

/** Forgets the endpoint; nothing there is touched. Refused while it holds machines of ours. */
export const deleteEndpoint = useCase(
  { action: "endpoint.delete", resource: catalogueResource },
  async (ctx, name: string): Promise<void> => {
    const id = await write(ctx, async (tx) => {
      // Orders place machines under the same lock, so none can come between the question and the removal.
      await advisoryLock(tx, "capacity");
      const row = await theEndpoint(ctx, name, tx);
      await mustBeEmpty(tx, row, "be removed");
      await endpointRemove(tx, row.id);
      await auditInsert(tx, auditOf(ctx, { endpoint: name }));
      return row.id;
    });
    await ctx.platform.endpoints.forget(id);
  },
);

/** Segments are made by the fabric of the site, so without one nothing can be placed. */
function mayManage(name: string, mode: EndpointMode, site: { readonly name: string; readonly fabric_kind: string }): void {
  if (mode === "observe" || site.fabric_kind !== "none") return;
  throw new AppError("invalid_input", `endpoint ${name} cannot be managed at a site without fabric`, {
    detail: [
      {
        constraint: "machines are made where a fabric makes their networks",
        source: `site ${site.name} has fabric none`,
        nearest: `add it with --observe, or give the site a fabric: strat site add ${site.name} --fabric linux --socket PATH`,
      },
    ],
  });
}

async function mustBeEmpty(tx: Tx, row: { readonly id: string; readonly name: string }, become: string): Promise<void> {
  const machines = await endpointHolds(tx, row.id);
  if (machines.length === 0) return;
  throw new AppError("conflict", `endpoint ${row.name} holds machines of ours`, {
    detail: [
      {
        constraint: `an endpoint that is to ${become} holds no machine, and there ${machines.length === 1 ? "is" : "are"} ${listed(machines)}`,
        source: `endpoint ${row.name}`,
        nearest: `delete ${machines.length === 1 ? "its vApp" : "their vApps"} first: strat vapp delete ${machines[0]!.split("/")[0]}`,
      },
    ],
  });
}

export function listed(names: readonly string[]): string {
  const rest = names.length - namesListed;
  return names.slice(0, namesListed).join(", ") + (rest > 0 ? ` and ${rest} more` : "");
}

async function look(ctx: DecidedContext, name: string): Promise<EndpointView> {
  await describeEndpoint(ctx, await theEndpoint(ctx, name), (body) => write(ctx, body));
  return endpointView(ctx, await theEndpoint(ctx, name));
}

/** Asks the endpoint what it is and writes down the answer, or that there was none. */
export async function describeEndpoint(
  ctx: Pick<AppContext, "platform" | "signal" | "log" | "clock">,
  row: EndpointRow,
  record: (body: (tx: Tx) => Promise<unknown>) => Promise<unknown>,
): Promise<void> {
  try {
    const description = await ctx.platform.endpoints.providerOf(row).describe(ctx);
    await record((tx) => endpointDescribed(tx, row.id, description));
  } catch (error) {
    // One that answers with a refusal is of no more use than one that is silent; only defects of ours are no state of an endpoint.
    if (!isAppError(error) && !isSilence(error)) throw error;
    ctx.log.warn(
      { endpoint: row.name, error: isAppError(error) ? (error.internal ?? error.code) : String(error) },
      "endpoint does not answer",
    );
    await record((tx) => endpointUnreachable(tx, row.id));
  }
}

/** No answer came, or none yet; anything else is an answer. */
export function isSilence(error: unknown): boolean {
  return isAppError(error) ? error.retryable : error instanceof DOMException && error.name === "TimeoutError";
}

export async function theEndpoint(
  ctx: AppContext,
  name: string,
  db: Tx | AppContext["platform"]["database"] = ctx.platform.database,
): Promise<EndpointRow> {
  const row = (await endpointList(db)).find((candidate) => candidate.name === name);
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
    mode: row.mode,
    state: row.state,
    product: description?.product ?? null,
    host: description?.host ?? null,
    architecture: description?.architecture ?? null,
    accelerator: description?.accelerator ?? null,
    vcpus: description?.vcpus ?? null,
    memoryMiB: description?.memoryMiB ?? null,
    machineKinds: machineKindsOf(ctx, row),
    machines: Number(row.machine_count),
    checkedAt: row.checked_at?.toISOString() ?? null,
    generation: row.generation,
  };
}

/** Secrets sealed with a key that is lost cannot be compared; what is given now replaces them. */
function configKnown(ctx: AppContext, row: EndpointRow): Json {
  try {
    return ctx.platform.endpoints.configOf(row);
  } catch (error) {
    if (!isAppError(error)) throw error;
    return null;
  }
}

/** None of an endpoint that cannot even be opened: it is still shown, and can be changed or removed. */
function machineKindsOf(ctx: AppContext, row: EndpointRow): string[] {
  try {
    return [...ctx.platform.endpoints.providerOf(row).capabilities.machineKinds];
  } catch (error) {
    if (!isAppError(error)) throw error;
    return [];
  }
}
