import { z } from "zod";
import { billViewSchema } from "#domain/catalogue.ts";
import { showBill } from "#app/bill.ts";
import { operation } from "#api/operation.ts";

export const billPeriodSchema = z.strictObject({
  from: z.string().max(40).optional().meta({ description: "RFC 3339; default: the beginning" }),
  to: z.string().max(40).optional().meta({ description: "RFC 3339; default: now" }),
});

export const billOperations = [
  operation({
    id: "billShow",
    method: "GET",
    path: "/v1/bill",
    tag: "bill",
    summary: "Show the bill of a project or a vApp",
    query: billPeriodSchema.extend({
      project: z.string().max(64).optional().meta({ description: "Name of a project; default `default`" }),
      vapp: z.string().max(100).optional().meta({ description: "Id or name of a vApp" }),
    }),
    answer: billViewSchema,
    handle: async (ctx, { query }) => ({ body: await showBill(ctx, query) }),
  }),
];
