/** The simulated site is worth its verdicts only if it survives kill -9, misbehaves as told, and keeps no secret. */
import { appendFileSync, readFileSync } from "node:fs";
import { request } from "node:http";
import { createConnection } from "node:net";
import type { Duplex } from "node:stream";
import { text } from "node:stream/consumers";
import { afterAll, afterEach, beforeAll, expect, test } from "vitest";
import { simFabricFactory } from "#fabrics/sim/fabric.ts";
import { callContext, freshName, freshOwner, rejectsWith } from "#provider/conformance/subject.ts";
import type { MachineSpec } from "#provider/contract.ts";
import { SimControl } from "#providers/sim/control.ts";
import { simFactory } from "#providers/sim/provider.ts";
import { simSubject } from "../support/sim-subject.ts";
import { simPaths, startSim, type RunningSim } from "../support/sim.ts";

const paths = simPaths();
const control = new SimControl(paths.socket);
const provider = simFactory.open({ socket: paths.socket, endpoint: "a" });
const fabric = simFabricFactory.open({ socket: paths.socket });
const subject = simSubject({ endpoint: "a", kinds: ["vm"], socket: () => paths.socket, control: () => control });
const segment = { name: "sconf", owner: freshOwner(), prefix: "10.64.1.0/24", gateway: "10.64.1.1", isolated: true };
const ctx = callContext(AbortSignal.timeout(60_000));
let sim: RunningSim;

beforeAll(async () => {
  sim = await startSim(paths);
  await fabric.segmentEnsure(ctx, segment);
  await provider.imageEnsure(ctx, await subject.imageSource());
});

afterEach(() => control.faultClear());

afterAll(async () => {
  control.close();
  await Promise.all([provider.close(), fabric.close()]);
  await sim.stop();
  paths.remove();
});

const specOf = (): MachineSpec => subject.machine({ name: freshName(), owner: freshOwner() });
const context = (spec: MachineSpec, token = "t0p-s3cret") =>
  JSON.stringify({ generation: 1, self: { name: spec.name }, config: { token } });

async function running(): Promise<MachineSpec> {
  const spec = specOf();
  await provider.machineEnsure(ctx, spec);
  await provider.machineStart(ctx, spec);
  return spec;
}

async function applied(): Promise<MachineSpec> {
  const spec = await running();
  await provider.channelRun(ctx, spec, { argv: ["/usr/lib/stratiform/apply"], stdin: context(spec) });
  return spec;
}

const targetOf = (spec: MachineSpec) => ({ segment: segment.name, address: spec.nics[0]!.address, port: 80 });

function httpGet(open: () => Duplex, path: string): Promise<{ status: number; body: string }> {
  return new Promise((resolve, reject) => {
    const sent = request({ path, headers: { connection: "close" }, createConnection: open }, (response) => {
      text(response).then((body) => resolve({ status: response.statusCode ?? 0, body }), reject);
    });
    sent.on("error", reject).end();
  });
}

async function restart(): Promise<void> {
  await sim.kill();
  sim = await startSim(paths);
}

test("kill -9 and a torn line leave the same world", async () => {
  const spec = await applied();
  const exposure = { name: "web", owner: freshOwner(), target: targetOf(spec) };
  const { port } = await fabric.exposureEnsure(ctx, exposure);
  const before = await control.dump();
  await sim.kill();
  appendFileSync(paths.journal, '{"table":"machine","key":"a/torn","value":{"na');
  sim = await startSim(paths);
  const after = await control.dump();
  expect({ ...after, calls: null }).toEqual({ ...before, calls: null });
  expect((await fabric.exposureEnsure(ctx, exposure)).port).toBe(port);
  expect((await httpGet(() => createConnection(port, "127.0.0.1"), "/health")).status).toBe(200);
  await fabric.exposureRemove(ctx, exposure);
  await expect(httpGet(() => createConnection(port, "127.0.0.1"), "/health")).rejects.toThrow("ECONNREFUSED");
  await fabric.exposureRemove(ctx, exposure);
});

test("a change that was answered is never lost, whenever the kill comes", async () => {
  const specs = Array.from({ length: 200 }, specOf);
  const answered: string[] = [];
  const killed = (async () => {
    while (answered.length < 50) await new Promise((resolve) => setTimeout(resolve, 1));
    await restart();
  })();
  const create = async (spec: MachineSpec) => {
    await provider.machineEnsure(ctx, spec);
    answered.push(spec.name);
  };
  for (const spec of specs) await create(spec).catch(() => {});
  await killed;
  const names = new Set((await provider.machineList(ctx)).map((facts) => facts.name));
  expect(answered.filter((name) => !names.has(name))).toEqual([]);
});

test("the applied context is kept as a digest only, and only until the power changes", async () => {
  const spec = await running();
  const cat = { argv: ["/bin/cat", "/run/stratiform/context.json"] };
  const apply = { argv: ["/usr/lib/stratiform/apply"], stdin: context(spec, "pl4nted-s3cret") };
  await rejectsWith("endpoint_unreachable", () => fabric.reach(ctx, targetOf(spec)));
  expect(await provider.channelRun(ctx, spec, apply)).toMatchObject({ exitCode: 0 });
  expect(await provider.channelRun(ctx, spec, apply)).toMatchObject({ exitCode: 0 });
  expect((await provider.channelRun(ctx, spec, cat)).stdout).toBe(apply.stdin);
  expect(readFileSync(paths.journal, "utf8")).not.toContain("pl4nted-s3cret");
  expect(JSON.stringify(await control.dump())).not.toContain("pl4nted-s3cret");
  await provider.machineStop(ctx, spec, { graceMs: 0 });
  await provider.machineStart(ctx, spec);
  expect((await provider.channelRun(ctx, spec, cat)).exitCode).toBe(1);
  await rejectsWith("endpoint_unreachable", () => fabric.reach(ctx, targetOf(spec)));
});

test("a guest answers HTTP through reach once it runs and has its context", async () => {
  const spec = await applied();
  const stream = await fabric.reach(ctx, targetOf(spec));
  expect(await httpGet(() => stream, "/health")).toEqual({ status: 200, body: "ok\n" });
  await control.guestBehave({ endpoint: "a", name: spec.name, httpStatus: 503, applyExitCode: 3 });
  const sick = await fabric.reach(ctx, targetOf(spec));
  expect((await httpGet(() => sick, "/")).status).toBe(503);
  const apply = { argv: ["/usr/lib/stratiform/apply"], stdin: context(spec) };
  expect((await provider.channelRun(ctx, spec, apply)).exitCode).toBe(3);
  await control.machineKill("a", spec.name);
  await rejectsWith("endpoint_unreachable", () => fabric.reach(ctx, targetOf(spec)));
});

test("faults hit the n-th call, before the work or after it", async () => {
  const [first, second] = [specOf(), specOf()];
  await control.faultAdd({ operation: "machineEnsure", nth: 2, fail: "endpoint_refused" });
  await provider.machineEnsure(ctx, first);
  await rejectsWith("endpoint_refused", () => provider.machineEnsure(ctx, second));
  expect(await provider.machineObserve(ctx, second)).toBeNull();
  await control.faultAdd({ operation: "machineEnsure", name: second.name, loseAnswer: true });
  await rejectsWith("endpoint_unreachable", () => provider.machineEnsure(ctx, second));
  expect((await provider.machineObserve(ctx, second))?.power).toBe("stopped");
  await control.faultAdd({ operation: "machineStart", delayMs: 5_000 });
  await rejectsWith("timeout", () => provider.machineStart(callContext(AbortSignal.timeout(100)), first));
});

test("an outage drops calls and event streams of one endpoint and ends by itself", async () => {
  const ready = Promise.withResolvers<void>();
  const watching = provider.watch(ctx, () => {}, ready.resolve);
  watching.catch(ready.reject);
  await ready.promise;
  await control.unreachable("a", 300);
  await rejectsWith("endpoint_unreachable", () => watching);
  await rejectsWith("endpoint_unreachable", () => provider.machineList(ctx));
  await fabric.segmentList(ctx);
  await new Promise((resolve) => setTimeout(resolve, 350));
  await provider.machineList(ctx);
});

test("a machine without its network does not start", async () => {
  const spec = specOf();
  await provider.machineEnsure(ctx, { ...spec, nics: [{ ...spec.nics[0]!, attachment: "snowhere" }] });
  await rejectsWith("endpoint_refused", () => provider.machineStart(ctx, spec));
});

test("reading changes nothing, and the dump can prove it", async () => {
  const spec = await applied();
  const { changes } = await control.dump();
  await provider.machineList(ctx);
  await provider.machineObserve(ctx, spec);
  await provider.machineEnsure(ctx, spec);
  await provider.machineStart(ctx, spec);
  await fabric.segmentEnsure(ctx, segment);
  await provider.channelRun(ctx, spec, { argv: ["/usr/lib/stratiform/apply"], stdin: context(spec) });
  expect((await control.dump()).changes).toBe(changes);
});

/** Milliseconds of `count` creations, observations and removals. */
async function churn(count: number): Promise<number> {
  const started = performance.now();
  for (const spec of Array.from({ length: count }, specOf)) {
    await provider.machineEnsure(ctx, spec);
    await provider.machineObserve(ctx, spec);
    await provider.machineRemove(ctx, spec);
  }
  return performance.now() - started;
}

test("no operation walks over all machines", { timeout: 120_000 }, async () => {
  await churn(200); // Warm code, or the first measurement would be the slow one.
  const empty = await churn(400);
  const specs = Array.from({ length: 10_000 }, (_, index) => ({ ...specOf(), name: `m${index}` }));
  const lanes = Array.from({ length: 16 }, async () => {
    for (let spec = specs.pop(); spec !== undefined; spec = specs.pop()) await provider.machineEnsure(callContext(), spec);
  });
  await Promise.all(lanes);
  expect((await provider.machineList(ctx)).length).toBeGreaterThanOrEqual(10_000);
  const full = await churn(400);
  // Walking over 10,000 machines at each call would make it hundreds of times slower; other work on the machine does not.
  expect(full / empty).toBeLessThan(8);
});
