/** Sites: plain configuration of the operator. What a fabric is configured with never leaves: views show its kind only. */
import type { SiteView, SiteWrite } from "#domain/catalogue.ts";
import { AppError } from "#domain/error.ts";
import { formatId } from "#domain/id.ts";
import type { AppContext } from "#app/context.ts";
import { checkGeneration, unchanged, type IfGeneration } from "#app/generation.ts";
import { newId } from "#app/new-id.ts";
import { catalogueResource } from "#app/resource.ts";
import { auditOf, useCase, write } from "#app/use-case.ts";
import { auditInsert } from "#store/audit.ts";
import { siteList, siteUpsert } from "#store/site.ts";

type SiteRow = Awaited<ReturnType<typeof siteList>>[number];

export const listSites = useCase({ action: "site.read", resource: catalogueResource }, async (ctx): Promise<SiteView[]> =>
  (await siteList(ctx.platform.database)).map(siteView),
);

/** Creates or changes a site; its fabric's configuration is checked by the fabric's own schema. */
export const putSite = useCase(
  { action: "site.write", resource: catalogueResource },
  async (ctx, site: SiteWrite & { readonly ifGeneration?: IfGeneration }): Promise<SiteView> => {
    await ctx.platform.endpoints.openFabric(site.fabric.kind, site.fabric.config).close();
    await write(ctx, async (tx) => {
      const before = (await siteList(tx)).find(({ name }) => name === site.name);
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

export async function theSite(ctx: AppContext, name: string): Promise<SiteRow> {
  const row = (await siteList(ctx.platform.database)).find((candidate) => candidate.name === name);
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
