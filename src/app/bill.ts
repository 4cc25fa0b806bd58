/** Bills: the ledger of a vApp or a project, rated. The same ledger and card give the same bytes. */
import type { BillView } from "#domain/catalogue.ts";
import { AppError } from "#domain/error.ts";
import { parseRateCard } from "#domain/rate-card.ts";
import { rate, statementTotal, type LedgerEntry, type LedgerSize, type LedgerState } from "#domain/rating.ts";
import type { AppContext } from "#app/context.ts";
import { projectResource, theProject, theVappNamed } from "#app/resource.ts";
import { useCase } from "#app/use-case.ts";
import { rateCardCurrent } from "#store/catalogue.ts";
import { projectById } from "#store/installation.ts";
import { databaseNow, ledgerOf } from "#store/ledger.ts";

export interface BillRequest {
  /** Id or name; a deleted vApp by id. */
  readonly vapp?: string | undefined;
  readonly project?: string | undefined;
  /** RFC 3339; default: the beginning. */
  readonly from?: string | undefined;
  /** RFC 3339; default: now. */
  readonly to?: string | undefined;
}

export const showBill = useCase(
  { action: "bill.read", resource: async (ctx, request: BillRequest) => projectResource(await payer(ctx, request)) },
  async (ctx, request): Promise<BillView> => {
    const db = ctx.platform.database;
    const { vapp, project_id, organization_id } = await payer(ctx, request);
    const rows = await ledgerOf(db, {
      organizationId: organization_id,
      ...(vapp === null ? { projectId: project_id } : { vappId: vapp.id }),
    });
    const card = parseRateCard((await rateCardCurrent(db)).document);
    const from =
      request.from === undefined
        ? rows.reduce((first, row) => Math.min(first, row.effective_at.getTime()), ctx.clock.now())
        : instant(request.from, "from");
    const to = request.to === undefined ? (await databaseNow(db)).getTime() : instant(request.to, "to");
    const entries = rows.map((row): LedgerEntry => ({
      resource: row.resource_id,
      seq: row.seq,
      effectiveAt: row.effective_at.getTime(),
      size: row.size as unknown as LedgerSize,
      state: row.state as LedgerState,
    }));
    const lines = rate({ entries, card, from, to });
    const named = new Map(rows.map((row) => [row.resource_id, row]));
    return {
      vapp: vapp?.name ?? null,
      project: (await projectById(db, project_id))!.name,
      currency: card.currency,
      from: new Date(from).toISOString(),
      to: new Date(to).toISOString(),
      total: statementTotal(lines, 6),
      lines: lines.map((line) => ({
        resource: line.resource,
        name: named.get(line.resource)!.name,
        kind: line.kind ?? named.get(line.resource)!.kind,
        meter: line.meter,
        from: new Date(line.from).toISOString(),
        to: new Date(line.to).toISOString(),
        quantity: line.quantity,
        unitPrice: line.unitPrice,
        amount: line.amount,
      })),
    };
  },
);

async function payer(ctx: AppContext, request: BillRequest) {
  if (request.vapp !== undefined) {
    const vapp = await theVappNamed(ctx, request.vapp);
    return { vapp, project_id: vapp.project_id, organization_id: vapp.organization_id };
  }
  const project = await theProject(ctx, request.project ?? "default");
  return { vapp: null, project_id: project.id, organization_id: project.organization_id };
}

function instant(text: string, field: string): number {
  const ms = Date.parse(text);
  if (!Number.isNaN(ms)) return ms;
  throw new AppError("invalid_input", `"${text}" is not a time`, {
    detail: [{ constraint: `${field} is a time in RFC 3339`, source: "bill request", nearest: "2026-01-31T00:00:00Z" }],
  });
}
