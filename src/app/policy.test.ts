import { describe, expect, it } from "vitest";
import type { Actor, Grant } from "#app/context.ts";
import { actions, defaultPolicies, PolicyGate, validatePolicies, type Resource } from "#app/policy.ts";

const project: Resource = { kind: "Project", id: "p1", organizationId: "o1", projectId: "p1", shared: false };
const organization: Resource = { kind: "Organization", id: "o1", organizationId: "o1", projectId: null, shared: false };
const catalogue: Resource = { kind: "Catalogue", id: "op", organizationId: "op", projectId: null, shared: true };

function actor(...grants: Grant[]): Actor {
  return { principalId: "u1", organizationId: "o1", name: "u", grants };
}

describe("policy gate", () => {
  const gate = new PolicyGate(defaultPolicies);
  const permits = (who: Actor, action: (typeof actions)[number], resource: Resource, process = "") =>
    gate.decide(who, action, resource, process).decision === "permit";

  it("the default policies fit the schema", () => {
    expect(() => validatePolicies(defaultPolicies)).not.toThrow();
  });

  it("a policy that does not fit the schema is refused by name", () => {
    const broken = [{ name: "typo", document: `permit (principal, action == Action::"vapp.reed", resource);` }];
    expect(() => validatePolicies(broken)).toThrowError(expect.objectContaining({ code: "invalid_input" }));
    try {
      validatePolicies(broken);
    } catch (error) {
      expect(JSON.stringify((error as { detail: unknown }).detail)).toContain("typo");
    }
  });

  it("an admin of the organization may do everything in it and nothing elsewhere", () => {
    const admin = actor({ role: "admin", projectId: null });
    for (const action of actions) expect(permits(admin, action, project), action).toBe(true);
    for (const action of actions) expect(permits(admin, action, { ...project, organizationId: "o2" }), action).toBe(false);
  });

  it("a member orders and reads, but does not change the catalogue, read the audit or see other projects", () => {
    const member = actor({ role: "member", projectId: "p1" });
    expect(permits(member, "process.run", project, "deploy")).toBe(true);
    expect(permits(member, "vapp.read", project)).toBe(true);
    expect(permits(member, "audit.read", organization)).toBe(false);
    expect(permits(member, "offering.write", catalogue)).toBe(false);
    expect(permits(member, "vapp.read", { ...project, id: "p2", projectId: "p2" })).toBe(false);
    expect(permits(member, "vapp.read", organization)).toBe(false);
  });

  it("a role on one project says nothing about another", () => {
    const mixed = actor({ role: "admin", projectId: "p2" }, { role: "member", projectId: "p1" });
    expect(permits(mixed, "audit.read", project)).toBe(false);
    expect(permits(mixed, "audit.read", { ...project, id: "p2", projectId: "p2" })).toBe(true);
  });

  it("everybody reads the shared catalogue, also without any grant", () => {
    for (const action of ["image.read", "offering.read", "site.read", "endpoint.read"] as const)
      expect(permits(actor(), action, catalogue), action).toBe(true);
    expect(permits(actor(), "image.read", { ...catalogue, shared: false })).toBe(false);
    expect(permits(actor(), "vapp.read", project)).toBe(false);
  });

  it("automation repairs and does nothing else", () => {
    const robot = actor({ role: "automation", projectId: null });
    expect(permits(robot, "process.run", project, "repair")).toBe(true);
    for (const process of ["deploy", "delete", "start", "stop", ""])
      expect(permits(robot, "process.run", project, process), process).toBe(false);
    expect(permits(robot, "vapp.exec", project)).toBe(false);
  });

  it("a decision names the policies that made it", () => {
    expect(gate.decide(actor({ role: "admin", projectId: null }), "vapp.read", project).reason).toBe("policy admin");
    expect(gate.decide(actor(), "vapp.read", project).reason).toBe("no policy permits it");
  });
});
