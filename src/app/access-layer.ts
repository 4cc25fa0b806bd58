/** What a blueprint's `access` layer says about a way in. Policy has the first word; this is the second, and never widens the first. */
import type { Offering } from "#domain/blueprint.ts";
import { AppError } from "#domain/error.ts";
import type { AppContext } from "#app/context.ts";
import { offeringById } from "#store/catalogue.ts";
import { orderOwner } from "#store/order.ts";
import type { VappRow } from "#store/vapp.ts";

/** `ssh` also covers tunnels: whoever may reach a port may reach the one of sshd. */
export type AccessLayer = "console" | "ssh";

/** Throws `forbidden` unless the layer lets the actor in. */
export async function requireAccess(ctx: AppContext, vapp: VappRow, layer: AccessLayer): Promise<void> {
  const db = ctx.platform.database;
  const row = await offeringById(db, vapp.offering_id);
  if (row === undefined) throw new AppError("internal", "the vApp's offering is gone", { internal: vapp.offering_id });
  const { access } = (row.document as unknown as Offering).vapp;
  const rule = access === "none" ? "none" : access[layer];
  const source = `access layer of offering ${row.name}@${row.version}`;
  if (rule === "none") {
    throw refusal(`${vapp.name} lets nobody in by ${layer}`, `access.${layer} is none`, source, nearestOf(vapp, layer));
  }
  // `project` is what policy has judged already: a grant in the project.
  if (rule === "project") return;
  const isAdmin = ctx.actor.grants.some(({ role, projectId }) => role === "admin" && (projectId === null || projectId === vapp.project_id));
  if (isAdmin || (await orderOwner(db, vapp.id)) === ctx.actor.principalId) return;
  throw refusal(
    `${vapp.name} lets in only who ordered it, and admins`,
    `access.${layer} is owner`,
    source,
    "ask its owner or an admin; an offering version with project lets the whole project in",
  );
}

function nearestOf({ name }: VappRow, layer: AccessLayer): string {
  const instead = `run a command instead: strat vapp exec ${name} MACHINE -- COMMAND`;
  return `${instead}; or order a version of the offering that says access.${layer}: owner`;
}

function refusal(message: string, constraint: string, source: string, nearest: string): AppError {
  return new AppError("forbidden", message, { detail: [{ constraint, source, nearest }] });
}
