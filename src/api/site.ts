import { siteViewSchema, siteWriteSchema } from "#domain/catalogue.ts";
import { deleteSite, listSites, putSite } from "#app/site.ts";
import { operation } from "#api/operation.ts";
import { listOf, named, whole } from "#api/page.ts";
import { parsed } from "#api/validation.ts";

export const siteOperations = [
  operation({
    id: "siteList",
    method: "GET",
    path: "/v1/sites",
    tag: "site",
    summary: "List sites",
    answer: listOf(siteViewSchema, "SiteList"),
    handle: async (ctx) => ({ body: whole(await listSites(ctx, undefined)) }),
  }),
  operation({
    id: "siteShow",
    method: "GET",
    path: "/v1/sites/{site}",
    tag: "site",
    summary: "Show a site",
    answer: siteViewSchema,
    guarded: true,
    async handle(ctx, { params }) {
      const site = named(await listSites(ctx, undefined), params.site, "site");
      return { body: site, generation: site.generation };
    },
  }),
  operation({
    id: "sitePut",
    method: "PUT",
    path: "/v1/sites/{site}",
    tag: "site",
    summary: "Add or change a site",
    description: "With If-Match only if it still has that generation; with If-None-Match: * only if it is new.",
    body: siteWriteSchema.omit({ name: true }).meta({ id: "SitePut" }),
    answer: siteViewSchema,
    guarded: true,
    async handle(ctx, { params, body, ifGeneration }) {
      const site = await putSite(ctx, { ...parsed(siteWriteSchema, { ...body, name: params.site }, "path and body"), ifGeneration });
      return { body: site, generation: site.generation };
    },
  }),
  operation({
    id: "siteDelete",
    method: "DELETE",
    path: "/v1/sites/{site}",
    tag: "site",
    summary: "Forget a site",
    description: "Refused while endpoints or vApps are there, naming them.",
    handle: async (ctx, { params }) => ({ body: await deleteSite(ctx, params.site) }),
  }),
];
