import { z } from "zod";
import { pageQuerySchema } from "#domain/catalogue.ts";
import { inventoryMachineSchema } from "#domain/inventory.ts";
import { listInventory } from "#app/inventory.ts";
import { operation } from "#api/operation.ts";
import { listOf, page } from "#api/page.ts";

export const inventoryOperations = [
  operation({
    id: "inventoryList",
    method: "GET",
    path: "/v1/inventory",
    tag: "inventory",
    summary: "List machines at the endpoints that are not ours",
    description: "As last seen, of managed and observed endpoints; owner and age come with the record that says so.",
    query: pageQuerySchema.extend({
      endpoint: z.string().max(31).optional().meta({ description: "Only of this endpoint" }),
      gone: z.enum(["true", "false"]).default("false").meta({ description: "Also those that are not there any more" }),
    }),
    answer: listOf(inventoryMachineSchema, "InventoryList"),
    async handle(ctx, { query: { gone, ...query } }) {
      return { body: page(await listInventory(ctx, { ...query, gone: gone === "true" }), query.limit) };
    },
  }),
];
