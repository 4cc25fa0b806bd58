/** The catalogue: versioned offerings. A published version never changes. */
import { createHash } from "node:crypto";
import { parseOffering } from "#domain/blueprint.ts";
import type { OfferingView } from "#domain/catalogue.ts";
import { AppError } from "#domain/error.ts";
import { formatId } from "#domain/id.ts";
import { canonicalJson, type Json } from "#domain/json.ts";
import { newId } from "#app/new-id.ts";
import { catalogueResource } from "#app/resource.ts";
import { auditOf, useCase, write } from "#app/use-case.ts";
import { auditInsert } from "#store/audit.ts";
import { offeringByName, offeringInsert, offeringList } from "#store/catalogue.ts";

type Row = NonNullable<Awaited<ReturnType<typeof offeringByName>>>;

export const listOfferings = useCase({ action: "offering.read", resource: catalogueResource }, async (ctx): Promise<OfferingView[]> => {
  return (await offeringList(ctx.platform.database)).map(view);
});

export const showOffering = useCase(
  { action: "offering.read", resource: catalogueResource },
  async (ctx, name: string): Promise<OfferingView> => {
    const row = await offeringByName(ctx.platform.database, name);
    if (row !== undefined) return view(row);
    throw new AppError("not_found", `there is no offering "${name}"`, {
      detail: [
        { constraint: "an offering is named as name or name@version", source: "catalogue", nearest: "list them with `strat offering ls`" },
      ],
    });
  },
);

/** Publishes a version. The same version again is accepted when it is the same document, and refused when it is not. */
export const publishOffering = useCase(
  { action: "offering.write", resource: catalogueResource },
  async (ctx, document: unknown): Promise<OfferingView> => {
    const offering = parseOffering(document);
    const digest = offeringDigest(offering as unknown as Json);
    await write(ctx, async (tx) => {
      await offeringInsert(tx, {
        id: newId("offering", ctx.clock),
        organization_id: ctx.platform.operatorId,
        name: offering.offering,
        version: offering.version,
        document: JSON.stringify(offering),
        digest,
      });
      await auditInsert(tx, auditOf(ctx, { offering: offering.offering, version: offering.version, digest }));
    });
    const row = await offeringByName(ctx.platform.database, `${offering.offering}@${offering.version}`);
    if (row!.digest === digest) return view(row!);
    throw new AppError("conflict", `${offering.offering} ${offering.version} is already published`, {
      detail: [
        {
          constraint: "a published version never changes",
          source: `offering ${offering.offering}@${offering.version}`,
          nearest: "publish it under a higher version",
        },
      ],
    });
  },
);

export function offeringDigest(document: Json): string {
  return createHash("sha256").update(canonicalJson(document)).digest("hex");
}

function view(row: Row): OfferingView {
  const document = row.document as { summary: string; parameters: OfferingView["parameters"] };
  return {
    id: formatId("offering", row.id),
    name: row.name,
    version: row.version,
    summary: document.summary,
    digest: row.digest,
    parameters: document.parameters,
    document: row.document as OfferingView["document"],
    createdAt: row.created_at.toISOString(),
  };
}
