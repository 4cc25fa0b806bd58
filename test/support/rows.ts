/** Rows for tests of the store: an installation and vApps in it, written by the same functions the product uses. */
import { randomUUID } from "node:crypto";
import { setUp } from "#app/setup.ts";
import { systemClock } from "#lib/clock.ts";
import { migrations } from "#store/migrations/all.ts";
import type { Database } from "#store/database.ts";
import { projectByName } from "#store/installation.ts";
import { endpointUpsert, siteUpsert } from "#store/site.ts";
import { machineInsert, segmentInsert, vappInsert } from "#store/vapp.ts";
import { startTestPostgres, type TestPostgres } from "./postgres.ts";
import { tinyOffering } from "./planning.ts";

export interface Rows {
  readonly database: Database;
  readonly organizationId: string;
  readonly projectId: string;
  readonly siteId: string;
  readonly endpointId: string;
  /** A vApp with this many machines and one segment. */
  vapp(machines: number): Promise<{ id: string; name: string; segmentId: string; machineIds: string[] }>;
}

export function startStorePostgres(): Promise<TestPostgres> {
  return startTestPostgres(migrations);
}

export async function makeRows(postgres: TestPostgres): Promise<Rows> {
  const database = postgres.open(await postgres.createDatabase());
  const { operatorId } = await setUp(database, systemClock, [tinyOffering]);
  const project = (await projectByName(database, operatorId, "default"))!;
  const offering = await database.selectFrom("offering").select("id").executeTakeFirstOrThrow();
  const { siteId, endpointId } = await database.transaction().execute(async (tx) => {
    const site = {
      id: randomUUID(),
      organization_id: operatorId,
      name: "s",
      kind: "own",
      location: "",
      fabric_kind: "sim",
      fabric_config: "{}",
    } as const;
    await siteUpsert(tx, site);
    const endpoint = { id: randomUUID(), organization_id: operatorId, site_id: site.id, name: "e", provider: "sim", config: "{}" };
    await endpointUpsert(tx, endpoint);
    return { siteId: site.id, endpointId: endpoint.id };
  });
  let count = 0;
  return {
    database,
    organizationId: operatorId,
    projectId: project.id,
    siteId,
    endpointId,
    vapp: (machines) =>
      database.transaction().execute(async (tx) => {
        count += 1;
        const made = { id: randomUUID(), name: `v${count}`, segmentId: randomUUID(), machineIds: [] as string[] };
        const own = { organization_id: operatorId, vapp_id: made.id };
        await vappInsert(tx, {
          id: made.id,
          organization_id: operatorId,
          project_id: project.id,
          site_id: siteId,
          name: made.name,
          offering_id: offering.id,
          parameters: "{}",
          blueprint: "{}",
          desired: "running",
          state: "active",
          run_id: null,
        });
        await segmentInsert(tx, {
          ...own,
          id: made.segmentId,
          site_id: siteId,
          name: "lan",
          external_name: `s${made.segmentId.slice(-12)}`,
          isolated: false,
          state: "planned",
        });
        for (let ordinal = 0; ordinal < machines; ordinal++) {
          const id = randomUUID();
          made.machineIds.push(id);
          const size = { kind: "vm", vcpus: 1, memoryMiB: 128, storageMiB: 24 };
          await machineInsert(tx, {
            ...own,
            id,
            endpoint_id: endpointId,
            name: `node-${ordinal}`,
            tier: "node",
            ordinal,
            kind: "vm",
            image: "i",
            image_digest: "d",
            external_name: `${made.name}-node-${ordinal}`,
            size: "nano",
            vcpus: 1,
            memory_mib: 128,
            spec: JSON.stringify(size),
            reason: "",
            desired: "running",
            state: "planned",
          });
        }
        return made;
      }),
  };
}
