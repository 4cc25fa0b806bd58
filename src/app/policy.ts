/**
 * The policy gate: Cedar decides every use case. The policy set lives in the database (table `policy`, written by setup and later by
 * `policy` requests), is validated against the schema when it is saved, parsed once and cached under its digest.
 *
 * Entities are built per request from the actor's grants: roles are `Role::"admin"` and so on, a grant without project covers the
 * whole organization. Resources carry `organization`, `project` and `shared` (catalogue items every organization may read). The context
 * of a decision carries the process of `process.run` and the port of `vapp.tunnel`, "" and 0 for all else.
 */
import { createHash } from "node:crypto";
import * as cedar from "@cedar-policy/cedar-wasm/nodejs";
import { AppError } from "#domain/error.ts";
import type { Actor } from "#app/context.ts";

export const actions = [
  "plan.make",
  "process.run",
  "order.read",
  "run.read",
  "run.cancel",
  "run.decide",
  "vapp.read",
  "vapp.exec",
  "vapp.console",
  "vapp.tunnel",
  "vapp.ssh",
  "image.read",
  "image.write",
  "image.delete",
  "offering.read",
  "offering.write",
  "site.read",
  "site.write",
  "site.delete",
  "endpoint.read",
  "endpoint.write",
  "endpoint.delete",
  "inventory.read",
  "event.read",
  "audit.read",
  "bill.read",
] as const;
export type Action = (typeof actions)[number];

/** What a use case acts on, as policy sees it. */
export interface Resource {
  readonly kind: "Project" | "Catalogue" | "Organization";
  readonly id: string;
  readonly organizationId: string;
  readonly projectId: string | null;
  /** Readable by every organization. */
  readonly shared: boolean;
}

export interface Decision {
  readonly decision: "permit" | "forbid";
  /** Names of the policies that decided. */
  readonly reason: string;
  readonly action: Action;
  readonly resource: Resource;
}

const actionList = actions.map((name) => `"${name}"`).join(", ");

export const policySchema = `
  entity Role;
  entity Principal in [Role] { organization: String };
  entity Project { organization: String, project: String, shared: Bool };
  entity Catalogue { organization: String, project: String, shared: Bool };
  entity Organization { organization: String, project: String, shared: Bool };
  action ${actionList} appliesTo { principal: [Principal], resource: [Project, Catalogue, Organization], context: { process: String, port: Long } };
`;

/** What a fresh installation starts with. */
export const defaultPolicies = [
  {
    name: "admin",
    document: `permit (principal in Role::"admin", action, resource) when { principal.organization == resource.organization };`,
  },
  {
    name: "member",
    document: `permit (principal in Role::"member", action in [Action::"plan.make", Action::"process.run", Action::"order.read", Action::"run.read", Action::"run.cancel", Action::"vapp.read", Action::"vapp.exec", Action::"vapp.console", Action::"vapp.tunnel", Action::"vapp.ssh", Action::"event.read", Action::"bill.read"], resource) when { principal.organization == resource.organization };`,
  },
  {
    name: "catalogue",
    document: `permit (principal, action in [Action::"image.read", Action::"offering.read", Action::"site.read", Action::"endpoint.read"], resource) when { resource.shared };`,
  },
  {
    name: "automation",
    document: `permit (principal in Role::"automation", action in [Action::"plan.make", Action::"process.run"], resource) when { principal.organization == resource.organization && ["repair", "purge"].contains(context.process) };`,
  },
] as const;

export interface PolicyText {
  readonly name: string;
  readonly document: string;
}

/** Throws `invalid_input` naming policy and place when the set does not parse or does not fit the schema. */
export function validatePolicies(policies: readonly PolicyText[]): void {
  const staticPolicies = Object.fromEntries(policies.map((p) => [p.name, p.document]));
  const answer = cedar.validate({ schema: policySchema, policies: { staticPolicies } });
  const errors =
    answer.type === "failure"
      ? answer.errors.map((e) => e.message)
      : answer.validationErrors.map((e) => `${e.policyId}: ${e.error.message}`);
  if (errors.length > 0) {
    throw new AppError("invalid_input", "the policy set is not valid", {
      detail: errors.map((message) => ({ constraint: message, source: "Cedar schema", nearest: "correct the policy named" })),
    });
  }
}

export class PolicyGate {
  readonly digest: string;

  /** Parses once; the same set in the same process is parsed only the first time. */
  constructor(policies: readonly PolicyText[]) {
    const staticPolicies = Object.fromEntries(policies.map((p) => [p.name, p.document]));
    this.digest = createHash("sha256").update(JSON.stringify(staticPolicies)).digest("hex");
    const parsed = cedar.preparsePolicySet(this.digest, { staticPolicies });
    if (parsed.type === "failure") {
      throw new AppError("internal", "the stored policy set does not parse", { internal: parsed.errors.map((e) => e.message).join("; ") });
    }
  }

  decide(actor: Actor, action: Action, resource: Resource, process = "", port = 0): Decision {
    const principal = { type: "Principal", id: actor.principalId };
    const target = { type: resource.kind, id: resource.id };
    // Only grants that cover the resource's project become roles, so a role on one project says nothing about another.
    const covering = actor.grants.filter((grant) => grant.projectId === null || grant.projectId === resource.projectId);
    const roles = [...new Set(covering.map((grant) => grant.role))].map((id) => ({ type: "Role", id }));
    const answer = cedar.statefulIsAuthorized({
      principal,
      action: { type: "Action", id: action },
      resource: target,
      context: { process, port },
      preparsedPolicySetId: this.digest,
      entities: [
        { uid: principal, attrs: { organization: actor.organizationId }, parents: roles },
        {
          uid: target,
          attrs: { organization: resource.organizationId, project: resource.projectId ?? "", shared: resource.shared },
          parents: [],
        },
      ],
    });
    if (answer.type === "failure") {
      throw new AppError("internal", "policy could not decide", { internal: answer.errors.map((e) => e.message).join("; ") });
    }
    const permit = answer.response.decision === "allow";
    const names = answer.response.diagnostics.reason;
    const reason = names.length > 0 ? `policy ${names.join(", ")}` : "no policy permits it";
    return { decision: permit ? "permit" : "forbid", reason, action, resource };
  }
}
