import { z } from "zod";
import { pageQuerySchema } from "#domain/catalogue.ts";
import { orderRequestSchema, orderViewSchema } from "#domain/order.ts";
import { orderOfRequest } from "#app/request.ts";
import { listOrders, placeOrder, showOrder } from "#app/order.ts";
import { operation } from "#api/operation.ts";
import { listOf, page } from "#api/page.ts";

export const orderOperations = [
  operation({
    id: "orderPlace",
    method: "POST",
    path: "/v1/orders",
    tag: "order",
    summary: "Order a change",
    description: "Either a plan made before, approved by its hash, or a change that is planned and ordered in one go, within bounds.",
    body: orderRequestSchema,
    answer: orderViewSchema,
    status: 201,
    keyed: "kept",
    async handle(ctx, { body }) {
      const order = await placeOrder(ctx, body);
      return { body: order, location: `/v1/orders/${order.id}` };
    },
    async recover(ctx, requestId) {
      const id = await orderOfRequest(ctx, requestId);
      return id === null ? null : { body: await showOrder(ctx, id), location: `/v1/orders/${id}` };
    },
  }),
  operation({
    id: "orderList",
    method: "GET",
    path: "/v1/orders",
    tag: "order",
    summary: "List orders, newest first",
    query: pageQuerySchema.extend({ vapp: z.string().max(100).optional().meta({ description: "Id or name of a vApp" }) }),
    answer: listOf(orderViewSchema, "OrderList"),
    handle: async (ctx, { query }) => ({ body: page(await listOrders(ctx, query), query.limit) }),
  }),
  operation({
    id: "orderShow",
    method: "GET",
    path: "/v1/orders/{order}",
    tag: "order",
    summary: "Show an order",
    answer: orderViewSchema,
    handle: async (ctx, { params }) => ({ body: await showOrder(ctx, params.order) }),
  }),
];
