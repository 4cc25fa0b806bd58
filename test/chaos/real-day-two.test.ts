/**
 * kill -9 of the control plane during every kind of change of one vApp at a real libvirt and a real LXD, at points drawn by lot:
 * `STRATIFORM_CHAOS_SEED=n` repeats what was printed. The changes follow each other on the same machines, so that what one leaves behind
 * is in the way of the next. Judged after each by virsh, LXD's own answers, ip, nft, the pool's folder, SQL and the page it serves.
 */
import { readFileSync } from "node:fs";
import { afterAll, beforeAll, expect, test } from "vitest";
import { parse } from "yaml";
import { publishOffering } from "#app/offering.ts";
import { parseId } from "#domain/id.ts";
import type { PlanRequest } from "#domain/plan.ts";
import { pointsOf } from "../support/chaos-points.ts";
import { startControl, type ControlProcess } from "../support/chaos-process.ts";
import { chaosSeed, sampleOf } from "../support/chaos-sample.ts";
import { killThroughout } from "../support/chaos-throughout.ts";
import { lxc } from "../support/lxd-subject.ts";
import { type RealInstallation, startRealInstallation } from "../support/real-installation.ts";
import { realProblems } from "../support/real-verdict.ts";
import type { Expected } from "../support/world-verdict.ts";

const limitMs = 300_000;
const vapp = "real";
const seed = chaosSeed();

let installation: RealInstallation;
beforeAll(async () => {
  process.stdout.write(`STRATIFORM_CHAOS_SEED=${seed} repeats the choice of points\n`);
  installation = await startRealInstallation();
  await publishOffering(installation.ctx, tinyWithVolume());
});
afterAll(() => installation?.close());

interface Tiny {
  readonly parameters: object;
  readonly vapp: { readonly tiers: { readonly edge: { readonly config: object } } };
}

/** Offering `tiny`, and its container has a data volume, and is told a parameter that may change. */
function tinyWithVolume(): object {
  const tiny = parse(readFileSync(new URL("../../offerings/tiny.yaml", import.meta.url), "utf8")) as Tiny;
  const { storage: _, ...vappOfTiny } = { storage: undefined, ...tiny.vapp };
  const { edge } = tiny.vapp.tiers;
  const ours = { ...edge, volumes: { data: "64 MiB" }, config: { ...edge.config, turn: "${turn}" } };
  return {
    ...tiny,
    offering: "tiny-volume",
    parameters: { ...tiny.parameters, turn: { type: "integer", minimum: 0, maximum: 9, default: 0 } },
    vapp: { ...vappOfTiny, tiers: { ...tiny.vapp.tiers, edge: ours } },
  };
}

type Order = readonly [action: string, input: PlanRequest["input"]];

const deployment: Order = ["deploy", { offering: "tiny-volume", name: vapp }];

/** An order that nobody is killed during. */
async function order(control: ControlProcess, [action, input]: Order): Promise<void> {
  const placed = await control.order({ action, ...(action === "deploy" ? {} : { vapp }), input });
  const id = parseId("order", placed.id);
  const state = async () => (await installation.sql<{ state: string }>(`select state from "order" where id = $1`, [id]))[0]!.state;
  await expect.poll(state, { timeout: limitMs, interval: 50 }).not.toBe("running");
  expect(await state(), `${placed.summary}: ${control.stderr()}`).toBe("succeeded");
}

test("the vApp is deployed", { timeout: limitMs }, async () => {
  const control = startControl(controlOptions());
  try {
    await control.go();
    await order(control, deployment);
    expect(await control.stop()).toBe("0");
  } finally {
    await control.kill();
  }
  expect(await realProblems(installation, { [vapp]: "running" })).toEqual([]);
});

function controlOptions() {
  return { url: installation.url, home: installation.home, ttlMs: 30_000 };
}

interface Change {
  readonly name: string;
  readonly order: Order;
  /** Default `running`. */
  readonly expected?: Expected;
  /** Carried out, failed at its last step, and killed while it is undone. */
  readonly isUndone?: boolean;
  /** Brings back the state before, for a second run when side by side steps passed a point too early. */
  readonly back?: Order;
}

const stop: Order = ["stop", { graceSeconds: 0 }];
const take: Order = ["snapshot", { name: "kept" }];
const drop: Order = ["snapshot-delete", { snapshot: "kept" }];
const toDelete: Order = ["delete", { undoHours: 1, graceSeconds: 0 }];
const scaleTo = (count: number): Order => ["scale", { tier: "node", count }];
const resizeTo = (size: string): Order => ["resize", { tier: "node", size }];

/** One after the other, from running to running, and then gone. */
const changes: readonly Change[] = [
  { name: "stop", order: stop, expected: "stopped", back: ["start", {}] },
  { name: "start", order: ["start", {}], back: stop },
  { name: "restart", order: ["restart", { graceSeconds: 0 }] },
  { name: "snapshot", order: take, back: drop },
  { name: "revert", order: ["revert", { snapshot: "kept" }] },
  { name: "snapshot-delete", order: drop, back: take },
  { name: "snapshot undone", order: take, isUndone: true },
  { name: "resize", order: resizeTo("tiny"), back: resizeTo("nano") },
  { name: "resize undone", order: resizeTo("nano"), isUndone: true },
  { name: "volume-grow", order: ["volume-grow", { tier: "edge", volume: "data", size: "128 MiB" }] },
  { name: "reconfigure", order: ["reconfigure", { parameters: { turn: 1 } }], back: ["reconfigure", { parameters: { turn: 0 } }] },
  { name: "scale undone", order: scaleTo(2), isUndone: true },
  { name: "scale", order: scaleTo(2), back: scaleTo(1) },
  { name: "scale down", order: scaleTo(1), back: scaleTo(2) },
  { name: "repair", order: ["repair", {}] },
  { name: "delete", order: toDelete, expected: "stopped", back: ["restore", {}] },
  { name: "restore", order: ["restore", {}], back: toDelete },
  { name: "stop undone", order: stop, isUndone: true },
  { name: "purge", order: ["purge", {}], expected: "gone", back: deployment },
];

/** One or two of each: more would be minutes, and the next seed takes others. */
function chosen(points: readonly string[], name: string): string[] {
  const [count] = sampleOf([1, 2], 1, seed, `kills of ${name}`);
  return sampleOf(points, count!, seed, name);
}

let kills = 0;

test.each(changes)("$name: killed at points drawn by lot, it ends as it must", { timeout: limitMs }, async (change) => {
  const { name, order: wanted, isUndone = false, expected = "running", back } = change;
  const [action, input] = wanted;
  const startedAt = Date.now();
  let runs = 0;
  const verdict = await killThroughout({
    points: async () => chosen(pointsOf(await installation.plan(action, { vapp, input }), isUndone ? "undo" : "do"), name),
    prefix: "",
    vapp,
    control: controlOptions(),
    sql: installation.sql,
    runs: 3,
    async prepare(control) {
      runs += 1;
      if (runs > 1 && back !== undefined) await order(control, back);
    },
    request: () => ({ action: isUndone ? `${action}-undone` : action, vapp, input }),
    outcome: isUndone ? "compensated" : "succeeded",
    expected,
    judge: (wantedNow) => realProblems(installation, wantedNow),
    patienceMs: 120_000,
  });
  kills += verdict.hits.length;
  const seconds = Math.round((Date.now() - startedAt) / 1_000);
  process.stdout.write(`${name}: killed at ${verdict.hits.join(", ")} in ${verdict.runs} runs, ${seconds} s\n`);
  expect(verdict.problems).toEqual([]);
  expect(verdict.hits.toSorted()).toEqual(verdict.points.toSorted());
});

test("nothing of its disks is left", async () => {
  process.stdout.write(`${kills} kills\n`);
  const volumes = await lxc(installation.site, "storage", "volume", "list", installation.site.lxdConfig.pool, "--format", "csv");
  expect(volumes.split("\n").filter((line) => line.startsWith("custom"))).toEqual([]);
});
