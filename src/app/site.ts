/** Sites: plain configuration of the operator. What a fabric is configured with never leaves: views show its kind only. */
import type { SiteView, SiteWrite } from "#domain/catalogue.ts";
import { AppError } from "#domain/error.ts";
import { formatId } from "#domain/id.ts";
import type { AppContext } from "#app/context.ts";
import { checkGeneration, unchanged, type IfGeneration } from "#app/generation.ts";
import { newId } from "#app/new-id.ts";
import { catalogueResource } from "#app/resource.ts";
import { auditOf, useCase, write } from "#app/use-case.ts";
import { advisoryLock } from "#store/advisory-lock.ts";
import { auditInsert } from "#store/audit.ts";
import type { Tx } from "#store/database.ts";
import { endpointList, siteHeldBy, siteList, siteRemove, siteUpsert } from "#store/site.ts";

type SiteRow = Awaited<ReturnType<typeof siteList>>[number];

export const listSites = useCase({ action: "site.read", resource: catalogueResource }, async (ctx): Promise<SiteView[]> =>
  (await siteList(ctx.platform.database)).map(siteView),
);

/** Creates or changes a site; its fabric's configuration is checked by the fabric's own schema. */
export const putSite = useCase(
  { action: "site.write", resource: catalogueResource },
  async (ctx, site: Required<SiteWrite> & { readonly ifGeneration?: IfGeneration }): Promise<SiteView> => {
    await ctx.platform.endpoints.openFabric(site.fabric.kind, site.fabric.config).close();
    await write(ctx, async (tx) => {
      await advisoryLock(tx, "capacity");
      const before = (await siteList(tx)).find(({ name }) => name === site.name);
      if (before !== undefined && site.fabric.kind !== before.fabric_kind) await mayChangeFabric(tx, before, site.fabric.kind);
      const wanted = { name: site.name, kind: site.kind, location: site.location, fabric_kind: site.fabric.kind };
      // The same again is no change: adapters in use stay open.
      const written = unchanged(before, { ...wanted, fabric_config: site.fabric.config })
        ? { generation: before.generation + 1 }
        : await siteUpsert(tx, {
            id: newId("site", ctx.clock),
            organization_id: ctx.platform.operatorId,
            ...wanted,
            fabric_config: JSON.stringify(site.fabric.config),
          });
      checkGeneration(site.ifGeneration, written.generation, `site ${site.name}`);
      await auditInsert(tx, auditOf(ctx, { site: site.name, fabric: site.fabric.kind }));
    });
    return siteView(await theSite(ctx, site.name));
  },
);

/** Refused while endpoints or vApps are there, naming them. */
export const deleteSite = useCase({ action: "site.delete", resource: catalogueResource }, async (ctx, name: string): Promise<void> => {
  const id = await write(ctx, async (tx) => {
    await advisoryLock(tx, "capacity");
    const row = await theSite(ctx, name, tx);
    const { endpoints, vapps } = await siteHeldBy(tx, row.id);
    if (vapps.length > 0) throw held(name, "vApp", vapps, `strat vapp delete ${vapps[0]}`);
    if (endpoints.length > 0) throw held(name, "endpoint", endpoints, `strat endpoint rm ${endpoints[0]}`);
    await siteRemove(tx, row.id);
    await auditInsert(tx, auditOf(ctx, { site: name }));
    return row.id;
  });
  await ctx.platform.endpoints.forget(id);
});

function held(name: string, noun: string, names: readonly string[], command: string): AppError {
  const constraint = `a site that is to be removed holds nothing, and there ${names.length === 1 ? `is ${noun}` : `are ${noun}s`} ${names.join(", ")}`;
  return new AppError("conflict", `site ${name} is in use`, {
    detail: [{ constraint, source: `site ${name}`, nearest: `remove what is there first: ${command}` }],
  });
}

/** Networks that exist belong to the fabric that made them, and managed endpoints need one. */
async function mayChangeFabric(tx: Tx, site: SiteRow, kind: string): Promise<void> {
  const { vapps } = await siteHeldBy(tx, site.id);
  if (vapps.length > 0) throw held(site.name, "vApp", vapps, `strat vapp delete ${vapps[0]}`);
  const managed = (await endpointList(tx)).filter(({ site_id, mode }) => site_id === site.id && mode === "manage").map(({ name }) => name);
  if (kind === "none" && managed.length > 0) throw held(site.name, "managed endpoint", managed, `strat endpoint rm ${managed[0]}`);
}

export async function theSite(
  ctx: AppContext,
  name: string,
  db: Tx | AppContext["platform"]["database"] = ctx.platform.database,
): Promise<SiteRow> {
  const row = (await siteList(db)).find((candidate) => candidate.name === name);
  if (row !== undefined) return row;
  throw new AppError("not_found", `there is no site "${name}"`, {
    detail: [{ constraint: "a request names a known site", source: "sites", nearest: "list them with `strat site ls`" }],
  });
}

function siteView(row: SiteRow): SiteView {
  return {
    id: formatId("site", row.id),
    name: row.name,
    kind: row.kind,
    location: row.location,
    fabric: { kind: row.fabric_kind },
    generation: row.generation,
  };
}
