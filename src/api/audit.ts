import { z } from "zod";
import { auditViewSchema, pageQuerySchema } from "#domain/catalogue.ts";
import { listAudit } from "#app/event.ts";
import { operation } from "#api/operation.ts";
import { listOf, page } from "#api/page.ts";

export const auditOperations = [
  operation({
    id: "auditList",
    method: "GET",
    path: "/v1/audit",
    tag: "audit",
    summary: "List audit records, oldest first",
    query: pageQuerySchema.extend({
      after: z.coerce.number().int().min(0).default(0).meta({ description: "Id of the last record already seen" }),
    }),
    answer: listOf(auditViewSchema, "AuditList"),
    handle: async (ctx, { query }) => ({ body: page(await listAudit(ctx, query), query.limit) }),
  }),
];
