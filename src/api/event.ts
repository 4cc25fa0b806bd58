import { z } from "zod";
import { eventViewSchema, pageQuerySchema } from "#domain/catalogue.ts";
import { listEvents } from "#app/event.ts";
import { eventHead } from "#app/request.ts";
import { operation } from "#api/operation.ts";

export const eventQuerySchema = z.strictObject({
  limit: pageQuerySchema.shape.limit,
  after: z
    .union([z.literal("latest"), z.coerce.number().int().min(0)])
    .default(0)
    .meta({ description: "Position of the last event already seen; 0: from the first, `latest`: only what comes" }),
  vapp: z.string().max(100).optional().meta({ description: "Id or name of a vApp" }),
});

export const eventOperations = [
  operation({
    id: "eventList",
    method: "GET",
    path: "/v1/events",
    tag: "event",
    summary: "List or follow events, in the order of their position",
    description:
      "With `Accept: text/event-stream` the answer is a stream of server-sent events that never ends. The id of each is its position: a client " +
      "that reconnects with Last-Event-ID misses none and gets none twice. Lines that begin with a colon are heartbeats.",
    query: eventQuerySchema,
    answer: z
      .object({
        items: z.array(eventViewSchema),
        next: z.string().meta({ description: "Give it as `after` to go on, also when there was nothing" }),
      })
      .meta({ id: "EventList" }),
    streams: true,
    async handle(ctx, { query }) {
      const after = query.after === "latest" ? await eventHead(ctx.platform) : query.after;
      const items = await listEvents(ctx, { ...query, after });
      return { body: { items, next: String(items.at(-1)?.position ?? after) } };
    },
  }),
];
