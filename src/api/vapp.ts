import { z } from "zod";
import { billViewSchema, pageQuerySchema } from "#domain/catalogue.ts";
import { execRequestSchema, execResultSchema, machineViewSchema, vappDetailSchema, vappViewSchema } from "#domain/vapp.ts";
import { showBill } from "#app/bill.ts";
import { execInVapp, listMachines, listVapps, showVapp } from "#app/vapp.ts";
import { billPeriodSchema } from "#api/bill.ts";
import { apiLimits } from "#api/limits.ts";
import { operation } from "#api/operation.ts";
import { listOf, page } from "#api/page.ts";

export const vappOperations = [
  operation({
    id: "vappList",
    method: "GET",
    path: "/v1/vapps",
    tag: "vapp",
    summary: "List vApps",
    query: pageQuerySchema.extend({
      project: z.string().max(64).optional().meta({ description: "Name of a project" }),
      deleted: z.stringbool().default(false).meta({ description: "Also those that were deleted" }),
    }),
    answer: listOf(vappViewSchema, "VappList"),
    handle: async (ctx, { query }) => ({ body: page(await listVapps(ctx, query), query.limit) }),
  }),
  operation({
    id: "vappShow",
    method: "GET",
    path: "/v1/vapps/{vapp}",
    tag: "vapp",
    summary: "Show what is really there: machines, addresses, exposures, every fact with source and time",
    answer: vappDetailSchema,
    handle: async (ctx, { params }) => ({ body: await showVapp(ctx, params.vapp) }),
  }),
  operation({
    id: "vappExec",
    method: "POST",
    path: "/v1/vapps/{vapp}/exec",
    tag: "vapp",
    summary: "Run a command in a machine of the vApp",
    description: "The output is not kept: a repetition with the same Idempotency-Key is refused instead of run again.",
    body: execRequestSchema,
    answer: execResultSchema,
    keyed: "secret",
    timeoutMs: apiLimits.execMs,
    handle: async (ctx, { params, body }) => ({ body: await execInVapp(ctx, { ...body, vapp: params.vapp }) }),
  }),
  operation({
    id: "vappBill",
    method: "GET",
    path: "/v1/vapps/{vapp}/bill",
    tag: "vapp",
    summary: "Show what the vApp costs, line by line",
    query: billPeriodSchema,
    answer: billViewSchema,
    handle: async (ctx, { params, query }) => ({ body: await showBill(ctx, { ...query, vapp: params.vapp }) }),
  }),
  operation({
    id: "machineList",
    method: "GET",
    path: "/v1/machines",
    tag: "vapp",
    summary: "List machines",
    query: pageQuerySchema.extend({ vapp: z.string().max(100).optional().meta({ description: "Id or name of a vApp" }) }),
    answer: listOf(machineViewSchema, "MachineList"),
    handle: async (ctx, { query }) => ({ body: page(await listMachines(ctx, query), query.limit) }),
  }),
];
