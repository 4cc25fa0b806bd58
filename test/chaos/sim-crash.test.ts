/** Everything else that dies: one of two control planes, the database, the site; and many deployments at once. */
import { copyFileSync, mkdirSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { removeOrphans } from "#app/reconcilers/orphan.ts";
import { untilEnded } from "../support/chaos-matrix.ts";
import { startControl, type ControlProcess } from "../support/chaos-process.ts";
import { startInstallation, type Installation } from "../support/installation.ts";
import { type Expected, quotaProblems, seenInSim, worldProblems } from "../support/world-verdict.ts";

let installation: Installation;
let control: ControlProcess;
beforeAll(async () => {
  installation = await startInstallation({ withEngine: false, endpoints: ["a", "b"] });
  control = startControl({ url: installation.url, home: installation.home, ttlMs: 2_000 });
  await control.go();
});
afterAll(async () => {
  await control.kill();
  await installation.close();
});

const limitMs = 60_000;

function deploy(name: string): object {
  return { action: "deploy", input: { offering: "tiny", name } };
}

async function judge(expected: Readonly<Record<string, Expected>>): Promise<string[]> {
  return worldProblems(installation.sql, seenInSim(await installation.simDump()), expected);
}

function all(names: readonly string[], expected: Expected): Record<string, Expected> {
  return Object.fromEntries(names.map((name) => [name, expected]));
}

/** Until some step of some run has been attempted and some has not: the middle, wherever that is. */
async function untilMidway(): Promise<void> {
  await until(async () => {
    const [row] = await installation.sql<{ done: number; open: number }>(
      `select count(*) filter (where s.state = 'ok')::int as done, count(*) filter (where s.state <> 'ok')::int as open
       from run r join run_step s on s.run_id = r.id where r.finished_at is null`,
    );
    return row!.done > 0 && row!.open > 0;
  });
}

async function until(condition: () => Promise<boolean>): Promise<void> {
  const deadline = Date.now() + limitMs;
  while (!(await condition())) {
    if (Date.now() > deadline) throw new Error("the condition did not become true");
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}

test("of two control planes one is killed: the other finishes everything", { timeout: 120_000 }, async () => {
  const home = join(installation.home, "second");
  mkdirSync(home);
  copyFileSync(join(installation.home, "secret.key"), join(home, "secret.key"));
  const second = startControl({ url: installation.url, home, ttlMs: 2_000 });
  await second.go();
  const names = Array.from({ length: 8 }, (_, index) => `two${index}`);
  await Promise.all(names.map((name, index) => (index % 2 === 0 ? second : control).order(deploy(name))));
  await until(async () => {
    const owned = await installation.sql<{ n: number }>(
      `select count(*)::int as n from run r join control_process p on p.id::text = r.owner_process::text where p.home = $1`,
      [home],
    );
    return owned[0]!.n > 0;
  });
  expect(await second.kill()).toBe("SIGKILL");
  await untilEnded(installation.sql, limitMs);
  expect(await judge(all(names, "running"))).toEqual([]);
});

test("the database is killed in the middle of deployments: they end right when it is back", { timeout: 120_000 }, async () => {
  const names = ["pg0", "pg1", "pg2"];
  await Promise.all(names.map((name) => control.order(deploy(name))));
  await untilMidway();
  installation.postgres.kill();
  await new Promise((resolve) => setTimeout(resolve, 500));
  await installation.postgres.start();
  await untilEnded(installation.sql, limitMs);
  expect(await judge(all(names, "running"))).toEqual([]);
});

test("the site is killed in the middle of deployments: they end right when it is back", { timeout: 120_000 }, async () => {
  const names = ["site0", "site1", "site2"];
  await Promise.all(names.map((name) => control.order(deploy(name))));
  await untilMidway();
  await installation.simKill();
  await new Promise((resolve) => setTimeout(resolve, 500));
  await installation.simStart();
  await untilEnded(installation.sql, limitMs);
  expect(await judge(all(names, "running"))).toEqual([]);
});

test("twenty deployments and deletes at once: the quota is exact at every moment", { timeout: 240_000 }, async () => {
  const names = Array.from({ length: 20 }, (_, index) => `many${index}`);
  const samples: string[][] = [];
  let sampling = true;
  const sampler = (async () => {
    while (sampling) samples.push(await quotaProblems(installation.sql));
  })();
  try {
    await Promise.all(names.map((name) => control.order(deploy(name))));
    await untilEnded(installation.sql, limitMs);
    expect(await judge(all(names, "running"))).toEqual([]);
    await Promise.all(names.map((vapp) => control.order({ action: "purge", vapp, input: {} })));
    await untilEnded(installation.sql, limitMs);
  } finally {
    sampling = false;
    await sampler;
  }
  expect(samples.length).toBeGreaterThan(20);
  expect(samples.flat()).toEqual([]);
  expect(await judge(all(names, "gone"))).toEqual([]);
});

test.each(["machineEnsure", "exposureEnsure"])(
  "a deployment is deleted during a slow %s: what the slow call makes too late is removed too",
  { timeout: 120_000 },
  async (operation) => {
    const delayMs = 400;
    await installation.sim.faultAdd({ operation, delayMs, times: 2 });
    const name = `early-${operation.toLowerCase()}`;
    await control.order(deploy(name));
    await untilMidway();
    await control.order({ action: "purge", vapp: name, input: {} });
    await untilEnded(installation.sql, limitMs);
    await installation.sim.faultClear();
    // The site works on after the caller has hung up. Nobody hears of it but the reconciler.
    await new Promise((resolve) => setTimeout(resolve, 2 * delayMs));
    await removeOrphans(installation.platform, installation.ctx);
    expect(await judge({ [name]: "gone" })).toEqual([]);
  },
);
