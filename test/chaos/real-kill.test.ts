/**
 * kill -9 of the control plane at every fault point of a deployment, of its undoing and of a delete, with virtual machines under a real
 * libvirt, containers under a real LXD and the agent's network. Judged by virsh, LXD's own answers, ip, nft, the pool's folder and SQL.
 */
import { afterAll, beforeAll, expect, test } from "vitest";
import { faultPoints } from "#engine/fault.ts";
import type { PlanView } from "#domain/plan.ts";
import { killThroughout, type Throughout, type Verdict } from "../support/chaos-throughout.ts";
import { type RealInstallation, startRealInstallation } from "../support/real-installation.ts";
import { realProblems } from "../support/real-verdict.ts";
import type { Expected } from "../support/world-verdict.ts";

let installation: RealInstallation;
beforeAll(async () => {
  installation = await startRealInstallation();
});
afterAll(() => installation?.close());

const limitMs = 600_000;

const judge = (expected: Readonly<Record<string, Expected>>) => realProblems(installation, expected);

function chaos(
  points: readonly string[],
  more: Pick<Throughout, "prefix" | "runs" | "prepare" | "request" | "outcome" | "expected">,
): Promise<Verdict> {
  return killThroughout({
    points: () => Promise.resolve(points),
    control: { url: installation.url, home: installation.home },
    sql: installation.sql,
    judge,
    patienceMs: 120_000,
    ...more,
  });
}

/** In the order in which a run passes them, as far as there is one. */
function pointsOf(plan: PlanView, phase: "do" | "undo"): string[] {
  const inOrder = phase === "undo" ? plan.steps.toReversed() : plan.steps;
  const steps = faultPoints(inOrder).filter((point) => point.startsWith(`${phase}:`));
  return phase === "undo" ? steps : ["run:enqueued", "run:begun", ...steps, "run:finishing", "run:finished"];
}

const deployRequest = (name: string) => ({ action: "deploy", input: { offering: "tiny", name } });
const deployed: string[] = [];

test("deploy: killed at every point, it is finished", { timeout: limitMs }, async () => {
  const points = pointsOf(await installation.plan("deploy", { input: { offering: "tiny" } }), "do");
  expect(points).toHaveLength(4 + 4 * 12);
  const verdict = await chaos(points, {
    prefix: "d",
    runs: 8,
    prepare: async (_, name) => void deployed.push(name),
    request: deployRequest,
    outcome: "succeeded",
    expected: "running",
  });
  process.stdout.write(`${verdict.hits.length} kills in ${verdict.runs} runs\n`);
  expect(verdict.problems).toEqual([]);
  expect(verdict.hits.toSorted()).toEqual(points.toSorted());
});

test("delete: killed at every point, it is finished", { timeout: limitMs }, async () => {
  const points = pointsOf(await installation.plan("purge", { vapp: deployed[0]! }), "do");
  expect(points).toHaveLength(4 + 4 * 4);
  const verdict = await chaos(points, {
    prefix: "d",
    runs: deployed.length,
    prepare: async () => {},
    request: (vapp) => ({ action: "purge", vapp, input: {} }),
    outcome: "succeeded",
    expected: "gone",
  });
  process.stdout.write(`${verdict.hits.length} kills in ${verdict.runs} runs\n`);
  expect(verdict.problems).toEqual([]);
  expect(verdict.hits.toSorted()).toEqual(points.toSorted());
});

test("deploy that fails at its last step: killed at every point of its undoing, nothing is left", { timeout: limitMs }, async () => {
  const points = pointsOf(await installation.plan("deploy", { input: { offering: "tiny" } }), "undo");
  expect(points).toHaveLength(4 * 6);
  // The exposure is opened, and then its row refuses to say so.
  await installation.sql(
    `create function refuse() returns trigger language plpgsql as $$ begin raise exception 'the test refuses'; end $$`,
  );
  await installation.sql(
    `create trigger refuse before update on exposure for each row when (new.state = 'realised') execute function refuse()`,
  );
  const verdict = await chaos(points, {
    prefix: "u",
    runs: 8,
    prepare: async () => {},
    request: deployRequest,
    outcome: "compensated",
    expected: "gone",
  });
  process.stdout.write(`${verdict.hits.length} kills in ${verdict.runs} runs\n`);
  expect(verdict.problems).toEqual([]);
  expect(verdict.hits.toSorted()).toEqual(points.toSorted());
});
