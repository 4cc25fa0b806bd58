/** A command whose answer was lost may have run: its key is never carried out again. */
import { randomUUID } from "node:crypto";
import { afterAll, beforeAll, expect, test } from "vitest";
import { startTestControlPlane, type TestControlPlane } from "../support/control-plane.ts";

let plane: TestControlPlane;
beforeAll(async () => {
  plane = await startTestControlPlane();
  await plane.deploy("keeper");
});
afterAll(() => plane.close());

const commands = async () => (await plane.simDump()).calls["a/channelRun"] ?? 0;

test("a repeated command whose answer was lost is refused and not run again", async () => {
  const before = await commands();
  await plane.sim.faultAdd({ endpoint: "a", operation: "channelRun", loseAnswer: true });
  const headers = { "idempotency-key": randomUUID() };
  const body = { machine: "node-0", argv: ["/bin/true"] };
  const exec = () => plane.request("POST", "/v1/vapps/keeper/exec", { body, headers });
  expect((await exec()).status).toBeGreaterThanOrEqual(500);
  await plane.sim.faultClear();
  expect((await exec()).json()).toMatchObject({ status: 409, code: "conflict" });
  expect(await commands()).toBe(before + 1);
});
