/**
 * A stranger's libvirtd with five machines, added only to be looked at: the inventory is right, and after a day of virtual time, with every
 * loop that looks at endpoints as often as in production, the endpoint is byte-identical. What "byte-identical" covers is `fingerprint`.
 */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import type { AppContext } from "#app/context.ts";
import { checkEndpoint } from "#app/endpoint-check.ts";
import { putEndpoint } from "#app/endpoint.ts";
import { putImage } from "#app/image.ts";
import { placeOrder } from "#app/order.ts";
import { putSite } from "#app/site.ts";
import { migrations } from "#store/migrations/all.ts";
import { adminContext, openPlatform } from "../support/installation.ts";
import { libvirtSiteStart, type LibvirtSite } from "../support/libvirt-site.ts";
import { startTestPostgres, type TestPostgres } from "../support/postgres.ts";
import { assertInventory, fingerprint, hoursPass, settledFingerprint, strangersMachines } from "../support/stranger.ts";

let site: LibvirtSite;
let postgres: TestPostgres;
let home: string;
let ctx: AppContext;

beforeAll(async () => {
  home = mkdtempSync(join(tmpdir(), "stratiform-stranger-"));
  [site, postgres] = await Promise.all([libvirtSiteStart(), startTestPostgres(migrations)]);
  await strangersMachines(site);
  const platform = await openPlatform(postgres.open(await postgres.createDatabase()), home);
  ctx = await adminContext(platform);
  await putSite(ctx, { name: "friends", kind: "partner", location: "next door", fabric: { kind: "none", config: {} } });
  for (const [name, format] of [
    ["tiny-node", "qcow2"],
    ["tiny-edge", "lxd"],
  ] as const) {
    const variants = [{ format, digest: format.padEnd(64, "0"), sizeBytes: 1_048_576, path: null }];
    await putImage(ctx, { name, recipeHash: "test", variants });
  }
});
afterAll(async () => {
  await ctx?.platform.endpoints.close();
  await postgres?.close();
  await site?.stop();
  rmSync(home, { recursive: true, force: true });
});

test("a day of looking leaves no trace, and the inventory is right", async () => {
  const before = await settledFingerprint(site);
  const config = { socket: `${site.socket}-ro` };
  const theirs = await putEndpoint(ctx, { name: "theirs", site: "friends", provider: "libvirt", mode: "observe", config });
  expect(theirs).toMatchObject({ state: "ready", mode: "observe", machines: 0 });
  const check = await checkEndpoint(ctx, "theirs");
  expect(check.lines.filter(({ outcome }) => outcome === "refused")).toEqual([]);

  expect(await hoursPass(ctx, 24)).toEqual({ looks: 17_280, descriptions: 2_880, inventories: 1_440, orphans: 2_880 });
  await assertInventory(ctx, site, 24);

  const order = placeOrder(ctx, { action: "deploy", input: { offering: "tiny", name: "intruder", site: "friends" } });
  await expect(order).rejects.toMatchObject({
    code: "no_capacity",
    detail: [{ nearest: expect.stringContaining("name another site") }, { constraint: expect.stringContaining("only observed") }],
  });
  expect(await fingerprint(site)).toEqual(before);
});
