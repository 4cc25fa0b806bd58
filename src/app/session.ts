/** Who is behind a token. Tokens are random and stored as hashes. */
import { createHash, randomBytes } from "node:crypto";
import type { Actor, Platform } from "#app/context.ts";
import { principalByName, principalByToken } from "#store/installation.ts";

const tokenPattern = /^strat_[A-Za-z0-9_-]{43}$/;

/** Null when the token is unknown, expired or revoked. */
export async function authenticate(platform: Pick<Platform, "database">, token: string): Promise<Actor | null> {
  if (!tokenPattern.test(token)) return null;
  return authenticateHash(platform, tokenHash(token));
}

/** As `authenticate`, for a token that was presented earlier and is not kept. */
export async function authenticateHash(platform: Pick<Platform, "database">, hash: Buffer): Promise<Actor | null> {
  const row = await principalByToken(platform.database, hash);
  return row === undefined ? null : actorOf(row);
}

/** A service principal of our own, such as the reconciler that repairs. */
export async function serviceActor(
  platform: Pick<Platform, "database" | "operatorId">,
  organizationId: string,
  name: string,
): Promise<Actor | null> {
  const row = await principalByName(platform.database, organizationId, name);
  return row === undefined ? null : actorOf(row);
}

export function makeToken(): string {
  return `strat_${randomBytes(32).toString("base64url")}`;
}

export function tokenHash(token: string): Buffer {
  return createHash("sha256").update(token).digest();
}

function actorOf(row: {
  id: string;
  organization_id: string;
  name: string;
  grants: { role: "admin" | "member" | "automation"; project_id: string | null }[];
}): Actor {
  return {
    principalId: row.id,
    organizationId: row.organization_id,
    name: row.name,
    grants: row.grants.map(({ role, project_id }) => ({ role, projectId: project_id })),
  };
}
