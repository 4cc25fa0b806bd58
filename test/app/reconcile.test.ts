/** Loops among runs and among each other: nobody is starved, nothing old overwrites what is newer, locks are taken in one order. */
import { randomUUID } from "node:crypto";
import { afterAll, beforeAll, expect, test } from "vitest";
import { RepairReconciler, settleMs } from "#app/reconcilers/repair.ts";
import { sampleEndpoints } from "#app/samplers/machine.ts";
import { listMachines } from "#app/vapp.ts";
import { parseId } from "#domain/id.ts";
import { sql } from "kysely";
import { startInstallation, type Installation } from "../support/installation.ts";

let installation: Installation;
beforeAll(async () => {
  installation = await startInstallation();
});
afterAll(() => installation.close());

function loop() {
  const { log, clock, signal } = installation.ctx;
  return { log, clock, signal };
}

async function deployed(name: string): Promise<{ id: string; name: string; external_name: string }[]> {
  expect(await installation.waitFor(await installation.order("deploy", { input: { offering: "tiny", name } }))).toBe("succeeded");
  return installation.sql(
    `select m.id, m.name, m.external_name from machine m join vapp v on v.id = m.vapp_id where v.name = $1 order by m.name`,
    [name],
  );
}

/** vApps that are broken for good and come first: their blueprints cannot even be read. */
async function plantBroken(count: number): Promise<void> {
  for (let index = 0; index < count; index++) {
    await installation.sql(
      `insert into vapp (id, organization_id, project_id, site_id, name, offering_id, parameters, blueprint, desired, state)
       select $1, v.organization_id, v.project_id, v.site_id, $2, v.offering_id, '{}', 'null', 'running', 'failed' from vapp v limit 1`,
      [`00000000-0000-7000-8000-${randomUUID().slice(-12)}`, `broken-${index}`],
    );
  }
}

test("a vApp is repaired however many others cannot be", async () => {
  const [edge] = await deployed("patient");
  await plantBroken(60);
  await installation.sim.machineKill("a", edge!.external_name);
  await sampleEndpoints(installation.platform, loop());
  const repairs = new RepairReconciler(installation.platform);
  const clock = { ...loop().clock, now: () => Date.now() + 2 * settleMs };
  for (let round = 0; round < 3; round++) await repairs.round({ ...loop(), clock }).catch(() => {});
  const orders = await installation.sql<{ id: string; run_id: string }>(
    `select o.id, o.run_id from "order" o join vapp v on v.id = o.vapp_id where v.name = 'patient' and o.action = 'repair'`,
  );
  expect(orders).toHaveLength(1);
  expect(await installation.engine.waitForRun(orders[0]!.run_id, 30_000)).toBe("succeeded");
  await installation.sql(`delete from event where vapp_id in (select id from vapp where name like 'broken-%')`);
  await installation.sql(`delete from vapp where name like 'broken-%'`);
});

test("a look that was overtaken does not overwrite what is known since", async () => {
  const [edge] = await deployed("overtaken");
  await installation.sim.machineKill("a", edge!.external_name);
  let looked: Promise<void> | undefined;
  await installation.platform.database.transaction().execute(async (tx) => {
    await sql`select 1 from vapp where name = 'overtaken' for update`.execute(tx);
    looked = sampleEndpoints(installation.platform, loop());
    // The look has seen the crash and waits for the vApp; meanwhile somebody who knows better writes.
    await installation.ctx.clock.sleep(500);
    await sql`update machine set state_at = clock_timestamp() where id = ${edge!.id}`.execute(tx);
  });
  await looked;
  const [row] = await installation.sql<{ state: string }>(`select state from machine where id = $1`, [edge!.id]);
  expect(row!.state).toBe("running");
  await sampleEndpoints(installation.platform, loop());
  const [later] = await installation.sql<{ state: string }>(`select state from machine where id = $1`, [edge!.id]);
  expect(later!.state).toBe("crashed");
});

test("a delete that takes a run's vApp over locks the run first, as the run's own steps do", async () => {
  await installation.sim.faultAdd({ operation: "machineEnsure", delayMs: 3_000, times: 4 });
  const deploy = await installation.order("deploy", { input: { offering: "tiny", name: "taken" } });
  let order: ReturnType<Installation["order"]> | undefined;
  await installation.platform.database.transaction().execute(async (tx) => {
    await sql`select 1 from run where id = ${parseId("run", deploy.run)} for update`.execute(tx);
    order = installation.order("purge", { vapp: "taken" });
    order.catch(() => {});
    await installation.ctx.clock.sleep(500);
    await sql`set local lock_timeout = '300ms'`.execute(tx);
    await sql`select 1 from vapp where name = 'taken' for update`.execute(tx);
  });
  await installation.sim.faultClear();
  expect(await installation.waitFor(await order!)).toBe("succeeded");
});

test("machines of every vApp are listed, page by page", async () => {
  await deployed("paged-a");
  await deployed("paged-b");
  const seen: string[] = [];
  let after: string | undefined;
  for (;;) {
    const page = await listMachines(installation.ctx, { limit: 1, after });
    if (page.length === 0) break;
    seen.push(...page.map(({ id }) => parseId("machine", id)));
    after = page.at(-1)!.id;
  }
  const all = await installation.sql<{ id: string }>(`select id from machine where released_at is null order by id`);
  expect(seen).toEqual(all.map(({ id }) => id));
});
