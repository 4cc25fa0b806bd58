/** Events and audit records, for readers. Readers resume by `position`, which has no gaps for them. */
import type { AuditView, EventView } from "#domain/catalogue.ts";
import { formatId } from "#domain/id.ts";
import { organizationResource, projectResource, theVappNamed } from "#app/resource.ts";
import { useCase } from "#app/use-case.ts";
import { auditList } from "#store/audit.ts";
import { eventList } from "#store/event.ts";

export interface EventFilter {
  readonly vapp?: string | undefined;
  /** Position of the last event already seen; 0 for all. */
  readonly after: number;
  readonly limit: number;
}

export const listEvents = useCase(
  {
    action: "event.read",
    resource: async (ctx, filter: EventFilter) =>
      filter.vapp === undefined ? organizationResource(ctx) : projectResource(await theVappNamed(ctx, filter.vapp)),
  },
  async (ctx, filter): Promise<EventView[]> => {
    const vapp = filter.vapp === undefined ? undefined : await theVappNamed(ctx, filter.vapp);
    const rows = await eventList(ctx.platform.database, {
      organizationId: ctx.actor.organizationId,
      after: filter.after,
      limit: filter.limit,
      ...(vapp === undefined ? {} : { vappId: vapp.id }),
    });
    return rows.map((row) => ({
      specversion: "1.0",
      id: row.id,
      source: `stratiform/${ctx.platform.installationId}`,
      type: `stratiform.${row.type}`,
      subject: row.subject,
      time: row.at.toISOString(),
      position: row.position!,
      vapp: row.vapp_id === null ? null : formatId("vapp", row.vapp_id),
      seq: row.seq,
      data: row.data as EventView["data"],
    }));
  },
);

export const listAudit = useCase(
  { action: "audit.read", resource: organizationResource },
  async (ctx, filter: { readonly after: number; readonly limit: number }): Promise<AuditView[]> => {
    const rows = await auditList(ctx.platform.database, ctx.actor.organizationId, filter.limit, filter.after);
    return rows.map((row) => ({
      id: row.id,
      at: row.at.toISOString(),
      principal: row.principal_name,
      action: row.action,
      resource: row.resource,
      decision: row.decision,
      reason: row.reason,
      requestId: row.request_id,
      data: row.data as AuditView["data"],
      sealed: row.sealed_seq,
      hash: row.hash,
    }));
  },
);
