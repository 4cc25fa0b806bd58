/** One deliberate defect after the other in what the control plane guarantees: the verdict on the world must see each of them. */
import { afterEach, expect, test } from "vitest";
import type { Json } from "#domain/json.ts";
import type { StepKind } from "#process/contract.ts";
import { deploy } from "#processes/deploy.ts";
import { machineEnsure } from "#app/steps/machine.ts";
import { exposureEnsure, segmentEnsure } from "#app/steps/network.ts";
import type { Platform } from "#app/context.ts";
import { untilEnded } from "../support/chaos-matrix.ts";
import { startControl, type ControlProcess } from "../support/chaos-process.ts";
import { startInstallation, type Installation, type InstallationOptions } from "../support/installation.ts";
import { failAt, Tampers } from "../support/saga-suite.ts";
import { type Expected, seenInSim, worldProblems } from "../support/world-verdict.ts";

const limitMs = 120_000;
let installation: Installation;
let control: ControlProcess | undefined;

afterEach(async () => {
  await control?.kill();
  control = undefined;
  await installation.close();
});

async function start(options: InstallationOptions = {}): Promise<Tampers> {
  const tampers = new Tampers();
  installation = await startInstallation({ work: (work, platform) => tampers.wrap(work, platform), ...options });
  return tampers;
}

async function judge(expected: Readonly<Record<string, Expected>>): Promise<string[]> {
  return worldProblems(installation.sql, seenInSim(await installation.simDump()), expected);
}

/** `deploy` with one kind of step whose undo was forgotten. */
function withoutUndo(make: (platform: Platform) => StepKind<never, Json>): typeof deploy {
  // The kind needs the platform, which exists only once this process is installed in it: asked for when the step is carried out.
  const real = () => make(installation.platform) as StepKind<unknown, Json>;
  const shape = make(undefined as never) as StepKind<unknown, Json>;
  return { ...deploy, stepKinds: [{ ...shape, do: (ctx, input) => real().do(ctx, input), undo: "nothing" }] };
}

test.each([
  { kind: "exposure.ensure", make: exposureEnsure },
  { kind: "machine.ensure", make: machineEnsure },
  { kind: "segment.ensure", make: segmentEnsure },
])("the undo of $kind is missing", { timeout: limitMs }, async ({ make }) => {
  const tampers = await start({ processes: [withoutUndo(make as never) as never] });
  tampers.set("left", failAt("exposure.ensure:edge-0-80", "after"));
  await installation.waitFor(await installation.order("deploy", { input: { offering: "tiny", name: "left" } }));
  expect(await judge({ left: "gone" })).not.toEqual([]);
});

/** Two orders for one vApp at once; returns how many were accepted. */
async function twoAtOnce(): Promise<number> {
  await installation.waitFor(await installation.order("deploy", { input: { offering: "tiny", name: "one" } }));
  const change = { vapp: "one", input: { graceSeconds: 0 } };
  const answers = await Promise.allSettled([installation.order("stop", change), installation.order("stop", change)]);
  await untilEnded(installation.sql, limitMs / 2);
  return answers.filter(({ status }) => status === "fulfilled").length;
}

test("the lock of a vApp is not taken: two orders change it at once", { timeout: limitMs }, async () => {
  await start();
  await installation.sql(`create function forget() returns trigger language plpgsql as $$ begin new.run_id := null; return new; end $$`);
  await installation.sql(`create trigger forget before insert or update on vapp for each row execute function forget()`);
  expect(await twoAtOnce()).toBe(2);
  expect(await judge({})).toContainEqual(expect.stringContaining("an order was accepted while another one changed the vApp"));
});

test("with its lock one of the two is refused, and the verdict is clean", { timeout: limitMs }, async () => {
  await start();
  expect(await twoAtOnce()).toBe(1);
  expect(await judge({ one: "stopped" })).toEqual([]);
});

test("quota is not given back", { timeout: limitMs }, async () => {
  await start();
  await installation.sql(
    `create function keep() returns trigger language plpgsql as $$ begin new.used := greatest(new.used, old.used); return new; end $$`,
  );
  await installation.sql(`create trigger keep before update on quota_balance for each row execute function keep()`);
  const change = { input: { offering: "tiny", name: "costly" } };
  await installation.waitFor(await installation.order("deploy", change));
  expect(await judge({ costly: "running" })).toEqual([]);
  await installation.waitFor(await installation.order("purge", { vapp: "costly" }));
  expect(await judge({ costly: "gone" })).toContainEqual(expect.stringContaining("quota:"));
});

test("the checkpoint is not in the transaction of what it vouches for", { timeout: limitMs }, async () => {
  await start({ withEngine: false });
  const options = { url: installation.url, home: installation.home, env: { STRATIFORM_SABOTAGE: "checkpoint-outside" } };
  control = startControl(options);
  await control.go();
  await control.arm("do:machine.ensure:node-0:in-transaction");
  void control.order({ action: "deploy", input: { offering: "tiny", name: "torn" } }).catch(() => {});
  expect(await control.exited).toBe("SIGKILL");
  control = startControl(options);
  await control.go();
  await untilEnded(installation.sql, 4_000).catch(() => {});
  expect(await judge({ torn: "running" })).not.toEqual([]);
});
