/**
 * First start of an installation: organization `operator` with project `default`, an admin with a token in a file, the principal of
 * our own reconciler, policies, rate card, quota and the offerings that come along. Safe to run at every start and by several
 * processes at once; what is there is left alone.
 */
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import type { Offering } from "#domain/blueprint.ts";
import type { Clock } from "#domain/context.ts";
import type { Json } from "#domain/json.ts";
import { defaultQuota } from "#domain/quota.ts";
import { defaultRateCard } from "#domain/rate-card.ts";
import { newId } from "#app/new-id.ts";
import { offeringDigest } from "#app/offering.ts";
import { defaultPolicies, validatePolicies } from "#app/policy.ts";
import { makeToken, tokenHash } from "#app/session.ts";
import { advisoryLock } from "#store/advisory-lock.ts";
import { offeringInsert } from "#store/catalogue.ts";
import type { Database, Tx } from "#store/database.ts";
import {
  installationId,
  installationInsert,
  organizationByName,
  principalByName,
  principalByToken,
  tokenInsert,
} from "#store/installation.ts";
import { writeFileWhole } from "#lib/write-file.ts";

export interface Installation {
  readonly installationId: string;
  readonly operatorId: string;
}

/** Prefixes of segments come from here: unique in the installation, private (RFC 1918), out of the way of common home networks. */
const defaultPrefixPool = "10.64.0.0/12";

export async function setUp(database: Database, clock: Clock, offerings: readonly Offering[]): Promise<Installation> {
  validatePolicies(defaultPolicies);
  return database.transaction().execute(async (tx) => {
    await advisoryLock(tx, "setup");
    const known = await installationId(tx);
    const operatorId = known === null ? await firstStart(tx, clock) : (await organizationByName(tx, "operator"))!.id;
    for (const offering of offerings) {
      await offeringInsert(tx, {
        id: newId("offering", clock),
        organization_id: operatorId,
        name: offering.offering,
        version: offering.version,
        document: JSON.stringify(offering),
        digest: offeringDigest(offering as unknown as Json),
      });
    }
    return { installationId: (await installationId(tx))!, operatorId };
  });
}

async function firstStart(tx: Tx, clock: Clock): Promise<string> {
  const operatorId = newId("organization", clock);
  await installationInsert(tx, {
    installationId: newId("installation", clock),
    organization: { id: operatorId, name: "operator" },
    project: { id: newId("project", clock), name: "default", prefixPool: defaultPrefixPool, quota: defaultQuota },
    principals: [
      { id: newId("principal", clock), grantId: newId("grant", clock), name: "admin", kind: "person", role: "admin" },
      { id: newId("principal", clock), grantId: newId("grant", clock), name: "reconciler", kind: "service", role: "automation" },
    ],
    policies: defaultPolicies.map(({ name, document }) => ({ id: newId("policy", clock), name, document })),
    rateCard: { id: newId("policy", clock), name: defaultRateCard.name, document: JSON.stringify(defaultRateCard) },
  });
  return operatorId;
}

/** The admin's token lies in `<home>/admin.token` (0600). A missing file gets a new token; older ones stay valid until revoked. */
export async function ensureAdminToken(database: Database, operatorId: string, home: string): Promise<string> {
  const path = join(home, "admin.token");
  if (existsSync(path)) {
    const token = readFileSync(path, "utf8").trim();
    if ((await principalByToken(database, tokenHash(token))) !== undefined) return path;
  }
  const admin = await principalByName(database, operatorId, "admin");
  const token = makeToken();
  await tokenInsert(database, { hash: tokenHash(token), principal_id: admin!.id, name: "first start" });
  writeFileWhole(path, `${token}\n`, 0o600);
  return path;
}
