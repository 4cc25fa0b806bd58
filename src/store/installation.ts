/** Installation, organizations, projects, principals, tokens, grants, policies, quotas: who is there and what they may do. */
import type { Database, Tx } from "#store/database.ts";

export async function installationId(db: Database): Promise<string | null> {
  const row = await db.selectFrom("installation").select("id").executeTakeFirst();
  return row?.id ?? null;
}

export function policyList(db: Database) {
  return db.selectFrom("policy").select(["name", "document"]).orderBy("name").execute();
}

export async function organizationByName(db: Database, name: string) {
  return db.selectFrom("organization").selectAll().where("name", "=", name).executeTakeFirst();
}

export function organizationIds(db: Database) {
  return db.selectFrom("organization").select("id").execute();
}

export function projectByName(db: Database, organizationId: string, name: string) {
  return db.selectFrom("project").selectAll().where("organization_id", "=", organizationId).where("name", "=", name).executeTakeFirst();
}

export function projectById(db: Database, id: string) {
  return db.selectFrom("project").selectAll().where("id", "=", id).executeTakeFirst();
}

/** The principal behind a token's hash with all its grants; undefined when unknown, expired or revoked. */
export async function principalByToken(db: Database, hash: Buffer) {
  const principal = await db
    .selectFrom("token")
    .innerJoin("principal", "principal.id", "token.principal_id")
    .select(["principal.id", "principal.organization_id", "principal.name"])
    .where("token.hash", "=", hash)
    .where("token.revoked_at", "is", null)
    .where((eb) => eb.or([eb("token.expires_at", "is", null), eb("token.expires_at", ">", eb.fn<Date>("now", []))]))
    .executeTakeFirst();
  return principal && { ...principal, grants: await grantsOf(db, principal.id) };
}

export async function principalByName(db: Database, organizationId: string, name: string) {
  const principal = await db
    .selectFrom("principal")
    .select(["id", "organization_id", "name"])
    .where("organization_id", "=", organizationId)
    .where("name", "=", name)
    .executeTakeFirst();
  return principal && { ...principal, grants: await grantsOf(db, principal.id) };
}

function grantsOf(db: Database, principalId: string) {
  return db.selectFrom("role_grant").select(["role", "project_id"]).where("principal_id", "=", principalId).execute();
}

export function projectList(db: Database, organizationId: string) {
  return db.selectFrom("project").selectAll().where("organization_id", "=", organizationId).orderBy("name").execute();
}

export function projectsAll(db: Database) {
  return db.selectFrom("project").select(["id", "name"]).orderBy("id").execute();
}

export function tokenInsert(db: Database, row: { hash: Buffer; principal_id: string; name: string }) {
  return db.insertInto("token").values(row).execute();
}

export interface NewInstallation {
  readonly installationId: string;
  readonly organization: { readonly id: string; readonly name: string };
  readonly project: {
    readonly id: string;
    readonly name: string;
    readonly prefixPool: string;
    readonly quota: Readonly<Record<string, number>>;
  };
  readonly principals: readonly {
    readonly id: string;
    readonly grantId: string;
    readonly name: string;
    readonly kind: "person" | "service";
    readonly role: "admin" | "automation";
  }[];
  readonly policies: readonly { readonly id: string; readonly name: string; readonly document: string }[];
  readonly rateCard: { readonly id: string; readonly name: string; readonly document: string };
}

/** Everything an installation begins with. */
export async function installationInsert(tx: Tx, made: NewInstallation): Promise<void> {
  const organization_id = made.organization.id;
  await tx.insertInto("installation").values({ id: made.installationId }).execute();
  await tx.insertInto("organization").values(made.organization).execute();
  const { id: project_id, name, prefixPool, quota } = made.project;
  await tx.insertInto("project").values({ id: project_id, organization_id, name, prefix_pool: prefixPool }).execute();
  const balances = Object.entries(quota).map(([dimension, limit]) => ({ project_id, dimension, quota: limit }));
  await tx.insertInto("quota_balance").values(balances).execute();
  for (const { id, grantId, role, ...principal } of made.principals) {
    await tx
      .insertInto("principal")
      .values({ id, organization_id, ...principal })
      .execute();
    await tx.insertInto("role_grant").values({ id: grantId, organization_id, principal_id: id, role, project_id: null }).execute();
  }
  await tx
    .insertInto("policy")
    .values([...made.policies].map((policy) => ({ ...policy, organization_id: null })))
    .execute();
  await tx
    .insertInto("rate_card")
    .values({ ...made.rateCard, organization_id })
    .execute();
}
