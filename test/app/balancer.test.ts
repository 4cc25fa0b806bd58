/** The steps of balancers on the simulated site: what they wait for, what they say when it takes too long, and what they do not need. */
import { once } from "node:events";
import http from "node:http";
import { afterAll, beforeAll, expect, test } from "vitest";
import type { Clock } from "#domain/context.ts";
import type { StepContext } from "#process/contract.ts";
import { systemClock } from "#lib/clock.ts";
import { silentLog } from "#lib/log.ts";
import { balancerJoin, balancerLeave, balancerMembers } from "#app/steps/balancer.ts";
import { guestContext, vappAt } from "#app/steps/guest-context.ts";
import { machineRef, theMachine, theSegment, theVapp } from "#app/steps/realised.ts";
import { addressList, vappByName } from "#store/vapp.ts";
import { startInstallation, type Installation } from "../support/installation.ts";

const input = { balancer: "door-0", member: "worker-1" };
let installation: Installation;
let vappId: string;

beforeAll(async () => {
  installation = await startInstallation();
  const order = await installation.order("deploy", { input: { offering: "trio", name: "shop" } });
  expect(await installation.waitFor(order)).toBe("succeeded");
  vappId = (await vappByName(installation.platform.database, installation.ctx.actor.organizationId, "shop"))!.id;
});
afterAll(() => installation.close());

function stepContext(clock: Clock = systemClock): StepContext {
  const call = { signal: new AbortController().signal, log: silentLog, clock };
  return {
    ...call,
    vappId,
    runId: "run",
    stepId: "step",
    attempt: 1,
    woken: undefined,
    output: () => null,
    channel: () => Promise.reject(new Error("unused")),
  };
}

async function members() {
  const vapp = await theVapp(installation.platform, vappId);
  const machine = await theMachine(installation.platform, vappId, "door-0");
  return balancerMembers(installation.platform, stepContext(), vapp, machine);
}
const names = async () => (await members()).map(({ name, state }) => `${name} ${state}`);

/** A request through the balancer that takes `ms`; resolves once somebody began to work on it. */
async function requestBegin(ms: number): Promise<{ readonly status: Promise<number> }> {
  const { platform } = installation;
  const door = await theMachine(platform, vappId, "door-0");
  const [address] = await addressList(platform.database, [door.id]);
  const segment = await theSegment(platform, vappId, address!.segment_name);
  const fabric = await platform.endpoints.fabric((await theVapp(platform, vappId)).site_id);
  const before = (await members()).reduce((sum, { requestsTotal }) => sum + requestsTotal, 0);
  const socket = await fabric.reach(stepContext(), { segment: segment.external_name, address: address!.address, port: 80 });
  const request = http.get({ createConnection: () => socket, host: address!.address, path: `/?ms=${ms}` });
  const status = once(request, "response").then(([response]) => {
    (response as http.IncomingMessage).resume();
    return (response as http.IncomingMessage).statusCode!;
  });
  await expect.poll(async () => (await members()).reduce((sum, { requestsTotal }) => sum + requestsTotal, 0)).toBeGreaterThan(before);
  return { status };
}

const statuses = (requests: readonly { readonly status: Promise<number> }[]) => Promise.all(requests.map(({ status }) => status));

test("joining and leaving undo each other, and may be repeated", async () => {
  const [join, leave] = [balancerJoin(installation.platform), balancerLeave(installation.platform)];
  expect(await names()).toEqual(["worker-0 up", "worker-1 up"]);
  await leave.do(stepContext(), input);
  expect(await names()).toEqual(["worker-0 up"]);
  await leave.do(stepContext(), input);
  if (typeof leave.undo !== "function" || typeof join.undo !== "function") throw new Error("both can be undone");
  await leave.undo(stepContext(), input);
  await leave.undo(stepContext(), input);
  expect(await names()).toEqual(["worker-0 up", "worker-1 up"]);
  await join.do(stepContext(), input);
  await join.undo(stepContext(), input);
  expect(await names()).toEqual(["worker-0 up"]);
  expect(await join.do(stepContext(), input)).toMatchObject({ output: { state: "up", port: 80 } });
  expect(await names()).toEqual(["worker-0 up", "worker-1 up"]);
});

test("leaving waits for what is in flight, and nothing of it fails", async () => {
  const slow = [await requestBegin(700), await requestBegin(700)];
  await balancerLeave(installation.platform).do(stepContext(), input);
  expect(await names()).toEqual(["worker-0 up"]);
  expect(await statuses(slow)).toEqual([200, 200]);
  await balancerJoin(installation.platform).do(stepContext(), input);
});

test("an attempt ends before its time with what is still in flight, and the member stays drained", async () => {
  const slow = [await requestBegin(3_000), await requestBegin(3_000)];
  const leave = balancerLeave(installation.platform);
  const began = systemClock.now();
  // Twenty seconds pass in two.
  const hurried: Clock = { now: () => began + (systemClock.now() - began) * 10, sleep: (ms, signal) => systemClock.sleep(ms / 10, signal) };
  await expect(leave.do(stepContext(hurried), input)).rejects.toMatchObject({
    code: "endpoint_busy",
    message: "1 request is still in flight from door-0 to worker-1",
    detail: [{ source: "balancer door-0" }],
  });
  expect(await names()).toEqual(["worker-0 up", "worker-1 draining"]);
  if (typeof leave.undo !== "function") throw new Error("it can be undone");
  await leave.undo(stepContext(), input);
  expect(await names()).toEqual(["worker-0 up", "worker-1 up"]);
  expect(await statuses(slow)).toEqual([200, 200]);
});

test("leaving needs neither the member nor the balancer to be there", async () => {
  const leave = balancerLeave(installation.platform);
  const { platform } = installation;
  await leave.do(stepContext(), { ...input, member: "worker-7" });
  await leave.do(stepContext(), { ...input, balancer: "door-7" });
  if (typeof leave.undo !== "function") throw new Error("it can be undone");
  await leave.undo(stepContext(), { ...input, member: "worker-7" });
  const door = await theMachine(platform, vappId, "door-0");
  const provider = await platform.endpoints.provider(door.endpoint_id);
  await provider.machineStop(stepContext(), machineRef(platform, door), { graceMs: 0 });
  await leave.do(stepContext(), input);
  await expect(balancerMembers(platform, stepContext(), await theVapp(platform, vappId), door)).rejects.toMatchObject({
    code: "endpoint_busy",
  });
  expect(await installation.waitFor(await installation.order("repair", { vapp: "shop" }))).toBe("succeeded");
  await expect.poll(names).toEqual(["worker-0 up", "worker-1 up"]);
});

test("a machine that balances another tier, or none, is refused with the reason", async () => {
  const join = balancerJoin(installation.platform);
  await expect(join.do(stepContext(), { balancer: "door-0", member: "store-0" })).rejects.toMatchObject({
    code: "conflict",
    detail: [{ nearest: "use a machine of worker" }],
  });
  await expect(join.do(stepContext(), { balancer: "worker-0", member: "worker-1" })).rejects.toMatchObject({ code: "conflict" });
  await expect(join.do(stepContext(), { balancer: "door-0", member: "worker-7" })).rejects.toMatchObject({ code: "not_found" });
});

test("the context of a balancer lists the members it is to have, that of a machine with volumes its volumes", async () => {
  const { platform } = installation;
  const vapp = vappAt(await theVapp(platform, vappId), "now");
  const context = async (machine: string) =>
    JSON.parse((await guestContext(platform, vapp, await theMachine(platform, vappId, machine))).text) as Record<string, unknown>;
  const workers = await Promise.all(["worker-0", "worker-1"].map((name) => theMachine(platform, vappId, name)));
  const rows = await addressList(
    platform.database,
    workers.map(({ id }) => id),
  );
  const front = (name: string) => rows.find((row) => row.machine_name === name && row.segment_name === "front")!.address;
  const door = await context("door-0");
  expect(door["balance"]).toEqual({
    pool: "worker",
    port: 80,
    health: "/health",
    members: ["worker-0", "worker-1"].map((name) => ({ name, address: front(name) })),
  });
  expect(door["volumes"]).toEqual([]);
  const store = await context("store-0");
  expect(store["volumes"]).toEqual([{ name: "data", sizeMiB: 1024 }]);
  expect(store).not.toHaveProperty("balance");
});

test("a tier that shrinks loses no request; who leaves is in no context any more", async () => {
  const { platform } = installation;
  const slow = [await requestBegin(1_500), await requestBegin(1_500)];
  const order = await installation.order("scale", { vapp: "shop", input: { tier: "worker", count: 1 } });
  expect(await installation.waitFor(order)).toBe("succeeded");
  expect(await statuses(slow)).toEqual([200, 200]);
  expect(await names()).toEqual(["worker-0 up"]);
  const vapp = vappAt(await theVapp(platform, vappId), "now");
  const { text } = await guestContext(platform, vapp, await theMachine(platform, vappId, "door-0"));
  expect(text).not.toContain("worker-1");
});
