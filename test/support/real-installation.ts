/** As `installation.ts`, on a real site: libvirt and LXD of a test site, its agent as fabric, and images built from their recipes. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { buildImage } from "#agent/image-build.ts";
import type { AppContext, Platform } from "#app/context.ts";
import { putEndpoint } from "#app/endpoint.ts";
import { putImage } from "#app/image.ts";
import { makePlan } from "#app/plan.ts";
import { putSite } from "#app/site.ts";
import type { PlanView } from "#domain/plan.ts";
import { silentLog } from "#lib/log.ts";
import type { Database } from "#store/database.ts";
import { migrations } from "#store/migrations/all.ts";
import { adminContext, type Change, openPlatform } from "./installation.ts";
import { startTestPostgres } from "./postgres.ts";
import { endpointNames } from "./seen-at-site.ts";
import { startTestSite, type TestSite } from "./site.ts";
import { sqlOf, type Sql } from "./sql.ts";

export interface RealInstallation {
  readonly url: string;
  readonly home: string;
  readonly site: TestSite;
  readonly platform: Platform;
  readonly ctx: AppContext;
  readonly database: Database;
  readonly sql: Sql;
  plan(action: string, change: Change): Promise<PlanView>;
  close(): Promise<void>;
}

const images = ["tiny-node", "tiny-edge"];

/** Without an engine: control planes are processes of their own. */
export async function startRealInstallation(): Promise<RealInstallation> {
  const home = mkdtempSync(join(tmpdir(), "stratiform-installation-"));
  const [site, postgres] = await Promise.all([startTestSite(), startTestPostgres(migrations)]);
  const url = await postgres.createDatabase();
  const database = postgres.open(url);
  const platform = await openPlatform(database, home);
  const ctx = await adminContext(platform);
  await register(ctx, site);
  return {
    url,
    home,
    site,
    platform,
    ctx,
    database,
    sql: sqlOf(database),
    plan: (action, change) => makePlan(ctx, { action, ...change, input: change.input ?? {} }),
    async close() {
      await platform.endpoints.close();
      await Promise.all([postgres.close(), site.stop()]);
      rmSync(home, { recursive: true, force: true });
    },
  };
}

async function register(ctx: AppContext, site: TestSite): Promise<void> {
  await putSite(ctx, { name: "real", kind: "own", location: "here", fabric: { kind: "linux", config: { ...site.fabricConfig } } });
  const endpoint = (name: "libvirt" | "lxd", config: object) =>
    putEndpoint(ctx, { name: endpointNames[name], site: "real", provider: name, config: config as never });
  await endpoint("libvirt", site.libvirtConfig);
  await endpoint("lxd", site.lxdConfig);
  for (const name of images) {
    const recipe = join(import.meta.dirname, "../../images", name);
    const built = await buildImage({ recipe, cacheDir: join(tmpdir(), "stratiform-test-images"), log: silentLog });
    const variants = built.variants.map(({ format, digest, sizeBytes, path }) => ({ format, digest, sizeBytes, path }));
    await putImage(ctx, { name, recipeHash: built.recipeHash, variants });
  }
}
