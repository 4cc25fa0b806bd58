/** As stranger.test.ts for a libvirtd that is reached over TLS: some hours of looking from another machine leave it byte-identical. */
import { randomInt } from "node:crypto";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import type { AppContext } from "#app/context.ts";
import { checkEndpointWrite } from "#app/endpoint-check.ts";
import { putEndpoint } from "#app/endpoint.ts";
import { putSite } from "#app/site.ts";
import { migrations } from "#store/migrations/all.ts";
import { certificateMake } from "../support/certificate.ts";
import { adminContext, openPlatform } from "../support/installation.ts";
import { libvirtSiteStart, type LibvirtSite } from "../support/libvirt-site.ts";
import { startTestPostgres, type TestPostgres } from "../support/postgres.ts";
import { assertInventory, fingerprint, hoursPass, settledFingerprint, strangersMachines } from "../support/stranger.ts";

const hours = 4;
/** Test files that run at once do not meet. */
const network = `10.${randomInt(200, 250)}.${randomInt(0, 250)}`;
const [address, hostAddress] = [`${network}.1`, `${network}.3`];
const authority = certificateMake({ commonName: "authority", authority: true });
const server = certificateMake({ commonName: "libvirt-test", names: [address], issuer: authority });
const client = certificateMake({ commonName: "stratiform", issuer: authority });
const config = { uri: `qemu+tls://${address}/system`, ca: authority.cert, cert: client.cert, key: client.key };

let site: LibvirtSite;
let postgres: TestPostgres;
let home: string;
let ctx: AppContext;

beforeAll(async () => {
  home = mkdtempSync(join(tmpdir(), "stratiform-stranger-"));
  const { cert, key } = server;
  const tls = { ca: authority.cert, cert, key, allowed: ["CN=stratiform"], addresses: [address], hostAddress };
  [site, postgres] = await Promise.all([libvirtSiteStart(tls), startTestPostgres(migrations)]);
  await strangersMachines(site);
  ctx = await adminContext(await openPlatform(postgres.open(await postgres.createDatabase()), home));
  await putSite(ctx, { name: "friends", kind: "partner", location: "far away", fabric: { kind: "none", config: {} } });
});
afterAll(async () => {
  await ctx?.platform.endpoints.close();
  await postgres?.close();
  await site?.stop();
  rmSync(home, { recursive: true, force: true });
});

test("hours of looking over TLS leave no trace, and the inventory is right", async () => {
  const before = await settledFingerprint(site);
  const theirs = { name: "theirs", site: "friends", provider: "libvirt", mode: "observe", config } as const;
  const { ok, lines } = await checkEndpointWrite(ctx, theirs);
  expect({ ok, steps: lines.map(({ outcome }) => outcome) }).toEqual({ ok: true, steps: lines.map(() => "ok") });
  expect(await putEndpoint(ctx, theirs)).toMatchObject({ state: "ready", mode: "observe", machines: 0 });

  expect(await hoursPass(ctx, hours)).toEqual({
    looks: 720 * hours,
    descriptions: 120 * hours,
    inventories: 60 * hours,
    orphans: 120 * hours,
  });
  await assertInventory(ctx, site, hours);
  expect(await fingerprint(site)).toEqual(before);
});
