/** Finds what requests name, inside the actor's organization, and says how policy sees it. */
import { AppError } from "#domain/error.ts";
import { idPrefixes, isUuid, parseId } from "#domain/id.ts";
import type { AppContext } from "#app/context.ts";
import type { Resource } from "#app/policy.ts";
import type { Database } from "#store/database.ts";
import { projectByName } from "#store/installation.ts";
import { vappById, vappByName, type VappRow } from "#store/vapp.ts";

/** `db` is the transaction when there is one. */
export async function theProject(ctx: AppContext, name: string, db: Database = ctx.platform.database) {
  const row = await projectByName(db, ctx.actor.organizationId, name);
  if (row !== undefined) return row;
  throw new AppError("not_found", `there is no project "${name}"`, {
    detail: [
      { constraint: "a request names a project of your organization", source: "projects", nearest: "leave it out to use `default`" },
    ],
  });
}

/** By id (`vapp_…`, also of a deleted one) or by name (the living one). Another organization's vApp is not found. */
export async function theVappNamed(ctx: AppContext, text: string, db: Database = ctx.platform.database): Promise<VappRow> {
  const byId = text.startsWith(`${idPrefixes.vapp}_`) || isUuid(text);
  const row = byId ? await vappById(db, parseId("vapp", text)) : await vappByName(db, ctx.actor.organizationId, text);
  if (row !== undefined && row.organization_id === ctx.actor.organizationId) return row;
  throw new AppError("not_found", `there is no vApp "${text}"`, {
    detail: [
      {
        constraint: "a request names an existing vApp by id or name",
        source: "vApps of your organization",
        nearest: "list them with `strat vapp ls`",
      },
    ],
  });
}

export function projectResource(row: { readonly organization_id: string; readonly project_id: string }): Resource {
  return { kind: "Project", id: row.project_id, organizationId: row.organization_id, projectId: row.project_id, shared: false };
}

/** Catalogue items and places: they belong to the operator and may be read by all. */
export function catalogueResource(ctx: AppContext): Resource {
  return { kind: "Catalogue", id: ctx.platform.operatorId, organizationId: ctx.platform.operatorId, projectId: null, shared: true };
}

export function organizationResource(ctx: AppContext): Resource {
  const id = ctx.actor.organizationId;
  return { kind: "Organization", id, organizationId: id, projectId: null, shared: false };
}

/** Of things that are named by id only. Another organization's is not found, either. */
export function noSuch(noun: "plan" | "order" | "run", id: string): AppError {
  return new AppError("not_found", `there is no such ${noun}`, {
    detail: [
      {
        constraint: `a request names an existing ${noun}, not ${id}`,
        source: `${noun}s of your organization`,
        nearest: "list orders with `strat order ls`; each names its plan and run",
      },
    ],
  });
}
