/** Machines that run and do not answer, and networks that are not what we made: noticed, shown with source and age, nothing else touched. */
import { afterAll, beforeAll, beforeEach, expect, test } from "vitest";
import { HealthSampler, healthLimits } from "#app/samplers/health.ts";
import { networkLimits, sampleNetworks } from "#app/samplers/network.ts";
import type { CallContext } from "#domain/context.ts";
import { machinesUnhealthy } from "#store/health.ts";
import { startInstallation, type Installation } from "../support/installation.ts";

let installation: Installation;
beforeAll(async () => {
  installation = await startInstallation();
});
afterAll(() => installation.close());
beforeEach(() => installation.sim.faultClear());

interface MachineSeen {
  readonly id: string;
  readonly vapp_id: string;
  readonly external_name: string;
  readonly healthy_at: Date | null;
  readonly unhealthy_since: Date | null;
  readonly vapp_state: string;
  readonly health: string | null;
  readonly source: string | null;
  readonly seen_at: Date | null;
}

/** As at this time from now on: ages pass without waiting. */
function loop(aheadMs = 0): CallContext {
  const { log, clock, signal } = installation.ctx;
  return { log, signal, clock: { now: () => clock.now() + aheadMs, sleep: (ms, until) => clock.sleep(ms, until) } };
}

async function deployed(name: string): Promise<void> {
  expect(await installation.waitFor(await installation.order("deploy", { input: { offering: "tiny", name } }))).toBe("succeeded");
}

async function edgeOf(vapp: string): Promise<MachineSeen> {
  const [row] = await installation.sql<MachineSeen>(
    `select m.id, m.vapp_id, m.external_name, m.healthy_at, m.unhealthy_since, v.state as vapp_state,
            f.value #>> '{}' as health, f.source, f.observed_at as seen_at
       from machine m join vapp v on v.id = m.vapp_id left join fact f on f.subject_id = m.id and f.layer = 'application' and f.name = 'health'
      where v.name = $1 and m.tier = 'edge' and m.released_at is null`,
    [vapp],
  );
  return row!;
}

async function events(vappId: string): Promise<string[]> {
  const rows = await installation.sql<{ type: string }>(
    `select type from event where vapp_id = $1 and type in ('machine.unhealthy', 'machine.healthy') order by seq`,
    [vappId],
  );
  return rows.map(({ type }) => type);
}

test("a machine that runs and does not answer is hung after some failures in a row, once; answering makes it well again", async () => {
  await deployed("sleepy");
  const sampler = new HealthSampler(installation.platform);
  const { external_name, vapp_id } = await edgeOf("sleepy");
  await installation.sim.guestBehave({ endpoint: "a", name: external_name, httpStatus: 500 });
  for (let round = 1; round < healthLimits.failures; round++) {
    await sampler.round(loop());
    expect(await edgeOf("sleepy"), `after ${round} failures`).toMatchObject({ health: "healthy", unhealthy_since: null });
  }
  await sampler.round(loop());
  await sampler.round(loop());
  expect(await edgeOf("sleepy")).toMatchObject({
    health: "unhealthy",
    source: "probe",
    healthy_at: null,
    unhealthy_since: expect.any(Date),
    vapp_state: "degraded",
  });
  expect(await events(vapp_id)).toEqual(["machine.unhealthy"]);
  expect((await machinesUnhealthy(installation.platform.database, vapp_id)).map(({ name }) => name)).toEqual(["edge-0"]);

  await installation.sim.guestBehave({ endpoint: "a", name: external_name, httpStatus: 200 });
  await sampler.round(loop());
  expect(await edgeOf("sleepy")).toMatchObject({
    health: "healthy",
    unhealthy_since: null,
    healthy_at: expect.any(Date),
    vapp_state: "active",
  });
  expect(await events(vapp_id)).toEqual(["machine.unhealthy", "machine.healthy"]);
  expect(await machinesUnhealthy(installation.platform.database, vapp_id)).toEqual([]);
});

test("a guest that hangs answers nothing at all and is found in bounded time", async () => {
  await deployed("frozen");
  const sampler = new HealthSampler(installation.platform);
  await installation.sim.machineHang("a", (await edgeOf("frozen")).external_name);
  const startedAt = Date.now();
  for (let round = 0; round < healthLimits.failures; round++) await sampler.round(loop());
  expect(Date.now() - startedAt).toBeLessThan(healthLimits.failures * (healthLimits.checkMs + 2_000));
  expect(await edgeOf("frozen")).toMatchObject({ health: "unhealthy", vapp_state: "degraded" });
  // Every later round would wait for it.
  expect(await installation.waitFor(await installation.order("purge", { vapp: "frozen" }))).toBe("succeeded");
});

test("one success between failures begins the count anew", async () => {
  await deployed("flapping");
  const sampler = new HealthSampler(installation.platform);
  const { external_name: name, vapp_id } = await edgeOf("flapping");
  for (let round = 0; round < 2 * healthLimits.failures; round++) {
    await installation.sim.guestBehave({ endpoint: "a", name, httpStatus: round % healthLimits.failures === 0 ? 200 : 500 });
    await sampler.round(loop());
  }
  expect(await edgeOf("flapping")).toMatchObject({ health: "healthy", unhealthy_since: null });
  expect(await events(vapp_id)).toEqual([]);
});

test("a fabric that does not answer says nothing about the machines behind it", async () => {
  await deployed("behind");
  const sampler = new HealthSampler(installation.platform);
  await installation.sim.unreachable("fabric", 60_000);
  for (let round = 0; round < healthLimits.failures + 1; round++) await sampler.round(loop());
  expect(await edgeOf("behind")).toMatchObject({ health: "healthy", unhealthy_since: null, vapp_state: "active" });
});

test("a run's machines are the run's", async () => {
  await deployed("held");
  const sampler = new HealthSampler(installation.platform);
  const { external_name: name, vapp_id } = await edgeOf("held");
  await installation.sim.guestBehave({ endpoint: "a", name, httpStatus: 500 });
  await installation.sql(`update vapp set run_id = id where id = $1`, [vapp_id]);
  for (let round = 0; round < healthLimits.failures + 1; round++) await sampler.round(loop());
  expect(await edgeOf("held")).toMatchObject({ health: "healthy", unhealthy_since: null });
  await installation.sql(`update vapp set run_id = null where id = $1`, [vapp_id]);
});

test("a fact that has not changed is written again only when it grew old, and then machine and fact say the same time", async () => {
  await deployed("steady");
  const sampler = new HealthSampler(installation.platform);
  const before = await edgeOf("steady");
  await sampler.round(loop());
  expect((await edgeOf("steady")).seen_at).toEqual(before.seen_at);
  await sampler.round(loop(healthLimits.refreshMs));
  const after = await edgeOf("steady");
  expect(after.seen_at!.getTime()).toBeGreaterThanOrEqual(before.seen_at!.getTime() + healthLimits.refreshMs);
  expect(after.healthy_at).toEqual(after.seen_at);
});

test("segments and exposures: there as the fabric says, missing when it does not, facts gone with what they were about", async () => {
  await deployed("netted");
  const facts = () =>
    installation.sql<{ subject_id: string; name: string; value: unknown; source: string; observed_at: Date }>(
      `select f.subject_id, f.name, f.value, f.source, f.observed_at from fact f
         join (select id, vapp_id from segment union all select id, vapp_id from exposure) t on t.id = f.subject_id
         join vapp v on v.id = t.vapp_id where v.name = 'netted' and f.layer = 'network' order by f.name`,
    );
  await sampleNetworks(installation.platform, loop());
  const [exposure, segment] = await facts();
  expect(segment).toMatchObject({ name: "segment", source: "sim:sim", value: { isolated: false, prefix: expect.stringMatching(/^10\./) } });
  expect(exposure).toMatchObject({ name: "exposure", source: "sim:sim", value: { listen: expect.stringMatching(/:\d+$/) } });

  await sampleNetworks(installation.platform, loop());
  expect((await facts()).map(({ observed_at }) => observed_at)).toEqual([exposure!.observed_at, segment!.observed_at]);

  // Behind our back, by the fabric's own call.
  const [row] = await installation.sql<{ site_id: string; external_name: string; id: string; vapp_id: string }>(
    `select e.site_id, e.external_name, e.id, e.vapp_id from exposure e join vapp v on v.id = e.vapp_id where v.name = 'netted'`,
  );
  const fabric = await installation.platform.endpoints.fabric(row!.site_id);
  const owner = { installation: installation.platform.installationId, vapp: row!.vapp_id, object: row!.id };
  await fabric.exposureRemove(loop(), { name: row!.external_name, owner });
  await sampleNetworks(installation.platform, loop());
  expect((await facts()).map(({ name, value }) => ({ name, value }))).toContainEqual({ name: "exposure", value: "missing" });

  await installation.sim.unreachable("fabric", 60_000);
  const known = await facts();
  await sampleNetworks(installation.platform, loop(networkLimits.refreshMs));
  expect(await facts(), "nobody looked, so nothing is younger").toEqual(known);
  await installation.sim.faultClear();

  const purge = await installation.order("purge", { vapp: "netted" });
  expect(await installation.waitFor(purge)).toBe("succeeded");
  await sampleNetworks(installation.platform, loop());
  expect(await facts()).toEqual([]);
});
