/** What happens without anybody asking: broken machines are noticed and repaired within bounds, balances and orphans are put right. */
import { afterAll, beforeAll, expect, test } from "vitest";
import { removeOrphans } from "#app/reconcilers/orphan.ts";
import { reconcileQuota } from "#app/reconcilers/quota.ts";
import { repairBound } from "#app/reconcilers/repair.ts";
import type { Log } from "#domain/context.ts";
import { silentLog } from "#lib/log.ts";
import { simFactory } from "#providers/sim/provider.ts";
import { startControl, type ControlProcess } from "../support/chaos-process.ts";
import { recordHistory } from "../support/history.ts";
import { startInstallation, type Installation } from "../support/installation.ts";
import { quotaProblems, seenInSim, worldProblems } from "../support/world-verdict.ts";

let installation: Installation;
let control: ControlProcess;
beforeAll(async () => {
  installation = await startInstallation({ withEngine: false });
  await recordHistory(installation.sql);
  control = startControl({ url: installation.url, home: installation.home });
  await control.go();
});
afterAll(async () => {
  await control.kill();
  await installation.close();
});

const limitMs = 60_000;
const noticedWithinMs = 1_000;

interface Machine {
  readonly id: string;
  readonly name: string;
  readonly external_name: string;
}

async function deployed(name: string): Promise<Machine[]> {
  const order = await control.order({ action: "deploy", input: { offering: "tiny", name } });
  expect(await installation.waitFor(order)).toBe("succeeded");
  return installation.sql<Machine>(
    `select m.id, m.name, m.external_name from machine m join vapp v on v.id = m.vapp_id where v.name = $1 and m.released_at is null order by m.name`,
    [name],
  );
}

async function until<T>(what: string, ask: () => Promise<T | undefined>): Promise<T> {
  const deadline = Date.now() + limitMs;
  for (;;) {
    const answer = await ask();
    if (answer !== undefined) return answer;
    if (Date.now() > deadline) throw new Error(`waited in vain until ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}

async function judge(expected: Parameters<typeof worldProblems>[2]): Promise<string[]> {
  return worldProblems(installation.sql, seenInSim(await installation.simDump()), expected);
}

function repairs(vapp: string) {
  return installation.sql<{ principal: string; action: string; state: string }>(
    `select p.name as principal, o.action, o.state from "order" o join principal p on p.id = o.principal_id join vapp v on v.id = o.vapp_id
     where v.name = $1 and o.action <> 'deploy' order by o.created_at`,
    [vapp],
  );
}

async function isActive(vapp: string): Promise<boolean> {
  const [row] = await installation.sql<{ state: string }>(`select state from vapp where name = $1`, [vapp]);
  return row?.state === "active";
}

test.each([
  { how: "killed", seen: "crashed" },
  { how: "vanished", seen: "missing" },
])("a machine that is $how behind our back is noticed within a second and brought back", { timeout: 120_000 }, async ({ how, seen }) => {
  const name = `back-${how}`;
  const [, node] = await deployed(name);
  const at = Date.now();
  if (how === "killed") await installation.sim.machineKill("a", node!.external_name);
  else await installation.sim.machineVanish("a", node!.external_name);
  const fact = await until(`the machine is known to be ${seen}`, async () => {
    const [row] = await installation.sql<{ source: string; observed_at: Date; at: Date }>(
      `select source, observed_at, at from fact_history where subject_id = $1 and layer = 'processing' and name = 'power' and value = $2::jsonb`,
      [node!.id, JSON.stringify(seen)],
    );
    return row;
  });
  expect(fact.at.getTime() - at, "milliseconds until it is known").toBeLessThan(noticedWithinMs);
  expect(fact.source).toBe("sim:a");
  expect(Math.abs(fact.observed_at.getTime() - at)).toBeLessThan(noticedWithinMs);
  await until("the vApp is well again", async () => ((await repairs(name)).at(-1)?.state === "succeeded" ? true : undefined));
  const states = await installation.sql<{ state: string }>(`select state from vapp_history where name = $1 order by id`, [name]);
  expect(states.map(({ state }) => state)).toEqual(["provisioning", "active", "degraded", "changing", "active"]);
  expect(await repairs(name)).toEqual([{ principal: "reconciler", action: "repair", state: "succeeded" }]);
  expect(await judge({ [name]: "running" })).toEqual([]);
});

test("a machine that keeps dying is given up at the bound, once and visibly", { timeout: 120_000 }, async () => {
  const name = "mortal";
  const [edge] = await deployed(name);
  const refused = () =>
    installation.sql(`select e.data from event e join vapp v on v.id = e.vapp_id where v.name = $1 and e.type = 'repair.refused'`, [name]);
  await until("automation gives up", async () => {
    if ((await refused()).length > 0) return true;
    if (await isActive(name)) await installation.sim.machineKill("a", edge!.external_name).catch(() => {}); // It may be down already.
    return undefined;
  });
  const orders = await repairs(name);
  expect(orders).toHaveLength(repairBound.rate.actions);
  await new Promise((resolve) => setTimeout(resolve, 2_000));
  expect(await repairs(name)).toHaveLength(orders.length);
  expect(await refused()).toHaveLength(1);
  const [vapp] = await installation.sql<{ state: string; run_id: string | null }>(`select state, run_id from vapp where name = $1`, [name]);
  expect(vapp).toEqual({ state: "degraded", run_id: null });
  // People may still do what automation may not.
  expect(await installation.waitFor(await control.order({ action: "repair", vapp: name, input: {} }))).toBe("succeeded");
  expect(await judge({ [name]: "running" })).toEqual([]);
});

test("a wrong quota balance is corrected and called an error", async () => {
  await deployed("counted");
  await installation.sql(`update quota_balance set used = used + 3 where dimension = 'machines'`);
  expect(await quotaProblems(installation.sql)).toHaveLength(1);
  const { log, errors } = recordingLog();
  await reconcileQuota(installation.platform, { ...installation.ctx, log });
  expect(await quotaProblems(installation.sql)).toEqual([]);
  expect(errors).toEqual([expect.stringContaining("quota")]);
});

test("only what outlived its own released row is removed from an endpoint (I7)", { timeout: 60_000 }, async () => {
  const [edge] = await deployed("orphaned");
  await deployed("living");
  const spec = (await installation.simDump()).endpoints["a"]!.machines.find(({ name }) => name === edge!.external_name)!;
  expect(await installation.waitFor(await control.order({ action: "purge", vapp: "orphaned", input: {} }))).toBe("succeeded");
  const provider = simFactory.open({ socket: `${installation.home}/sim.sock`, endpoint: "a" });
  const machine = { ...spec, image: spec.image!, owner: spec.owner!, nics: [] };
  // An answer that came late; an object of another installation; one with our mark that no row knows; one of nobody.
  await provider.machineEnsure(installation.ctx, machine);
  await provider.machineEnsure(installation.ctx, {
    ...machine,
    name: "other",
    owner: { ...machine.owner, installation: crypto.randomUUID() },
  });
  await provider.machineEnsure(installation.ctx, { ...machine, name: "unknown", owner: { ...machine.owner, object: crypto.randomUUID() } });
  await installation.sim.machinePlant("a", "nobodys");
  const before = (await installation.simDump()).endpoints["a"]!.machines.map(({ name }) => name).sort();
  const { log, errors } = recordingLog();
  await removeOrphans(installation.platform, { ...installation.ctx, log });
  const after = (await installation.simDump()).endpoints["a"]!.machines.map(({ name }) => name).sort();
  expect(after).toEqual(before.filter((name) => name !== edge!.external_name));
  expect(errors).toEqual(["an object carries our mark but we know nothing of it; it is left alone"]);
  await provider.close();
});

function recordingLog(): { log: Log; errors: string[] } {
  const errors: string[] = [];
  return { errors, log: { ...silentLog, error: (_, message) => void errors.push(message) } };
}
