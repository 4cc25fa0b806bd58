import { z } from "zod";
import { offeringViewSchema } from "#domain/catalogue.ts";
import { listOfferings, publishOffering, showOffering } from "#app/offering.ts";
import { operation } from "#api/operation.ts";
import { listOf, whole } from "#api/page.ts";

/** The blueprint's own parser judges the document: its refusals name the place in it. */
const offeringDocumentSchema = z
  .looseObject({ offering: z.string(), version: z.string() })
  .meta({ id: "OfferingDocument", description: "An offering as in `offerings/*.yaml`, as JSON" });

export const offeringOperations = [
  operation({
    id: "offeringList",
    method: "GET",
    path: "/v1/offerings",
    tag: "offering",
    summary: "List offerings, newest version first",
    answer: listOf(offeringViewSchema, "OfferingList"),
    handle: async (ctx) => ({ body: whole(await listOfferings(ctx, undefined)) }),
  }),
  operation({
    id: "offeringShow",
    method: "GET",
    path: "/v1/offerings/{offering}",
    tag: "offering",
    summary: "Show an offering with its parameters",
    answer: offeringViewSchema,
    handle: async (ctx, { params }) => ({ body: await showOffering(ctx, params.offering) }),
  }),
  operation({
    id: "offeringPublish",
    method: "POST",
    path: "/v1/offerings",
    tag: "offering",
    summary: "Publish a version of an offering",
    description: "A published version never changes: the same document again is accepted, another one is refused.",
    body: offeringDocumentSchema,
    answer: offeringViewSchema,
    status: 201,
    keyed: "kept",
    async handle(ctx, { body }) {
      const offering = await publishOffering(ctx, body);
      return { body: offering, location: `/v1/offerings/${offering.name}@${offering.version}` };
    },
  }),
];
