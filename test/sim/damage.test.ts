/** The simulated site as a test bed: every way to hurt it does what it says, survives kill -9 where the field's damage would, and heals. */
import { afterAll, afterEach, beforeAll, expect, test } from "vitest";
import { simFabricFactory } from "#fabrics/sim/fabric.ts";
import { callContext, freshName, freshOwner, rejectsWith } from "#provider/conformance/subject.ts";
import type { MachineEvent, MachineSpec } from "#provider/contract.ts";
import { SimControl } from "#providers/sim/control.ts";
import { simFactory } from "#providers/sim/provider.ts";
import { simAttachment, simSubject } from "../support/sim-subject.ts";
import { simPaths, startSim, type RunningSim } from "../support/sim.ts";

const endpoint = "a";
const paths = simPaths();
const control = new SimControl(paths.socket);
const provider = simFactory.open({ socket: paths.socket, endpoint });
const fabric = simFabricFactory.open({ socket: paths.socket });
const subject = simSubject({ endpoint, kinds: ["vm"], socket: () => paths.socket, control: () => control });
const ctx = callContext(AbortSignal.timeout(60_000));
const apply = { argv: ["/usr/lib/stratiform/apply"], stdin: "{}" };
const silenceMs = 200;
let sim: RunningSim;

beforeAll(async () => {
  sim = await startSim(paths);
  await fabric.segmentEnsure(ctx, {
    name: simAttachment,
    owner: freshOwner(),
    prefix: "10.64.1.0/24",
    gateway: "10.64.1.1",
    isolated: false,
  });
  await provider.imageEnsure(ctx, await subject.imageSource());
});

afterEach(() => control.faultClear());

afterAll(async () => {
  control.close();
  await Promise.all([provider.close(), fabric.close()]);
  await sim.stop();
  paths.remove();
});

async function applied(): Promise<MachineSpec> {
  const spec = subject.machine({ name: freshName(), owner: freshOwner() });
  await provider.machineEnsure(ctx, spec);
  await provider.machineStart(ctx, spec);
  await provider.channelRun(ctx, spec, apply);
  return spec;
}

/** What a machine says to a request within a moment: a page, nothing yet, or no connection. */
async function pageOf({ nics }: MachineSpec): Promise<string> {
  const stream = await fabric.reach(ctx, { segment: simAttachment, address: nics[0]!.address, port: 80 });
  const heard = new Promise<string>((resolve) => {
    stream.once("data", (chunk: Buffer) => resolve(chunk.toString().split("\r\n")[0]!));
    setTimeout(() => resolve("silence"), silenceMs);
  });
  stream.write("GET / HTTP/1.1\r\nHost: x\r\n\r\n");
  const said = await heard;
  stream.destroy();
  return said;
}

async function watched(): Promise<{ readonly events: MachineEvent[]; readonly ended: Promise<void> }> {
  const events: MachineEvent[] = [];
  const ready = Promise.withResolvers<void>();
  const ended = provider.watch(ctx, (event) => events.push(event), ready.resolve);
  ended.catch(() => {});
  await ready.promise;
  return { events, ended };
}

const eventsOf = (events: readonly MachineEvent[], { name }: MachineSpec) =>
  events.filter((event) => event.name === name).map(({ power }) => power);

test("a hung machine runs and never answers, also after kill -9 of the site; a stop by force and a start heal it", async () => {
  const spec = await applied();
  const { events } = await watched();
  expect(await pageOf(spec)).toBe("HTTP/1.1 200 OK");
  await control.machineHang(endpoint, spec.name);
  expect((await provider.machineObserve(ctx, spec))?.power).toBe("running");
  await rejectsWith("timeout", () => provider.channelRun(ctx, spec, { argv: ["/bin/true"], timeoutMs: 50 }));
  expect(await pageOf(spec)).toBe("silence");
  expect(eventsOf(events, spec)).toEqual([]);
  await sim.kill();
  sim = await startSim(paths);
  await rejectsWith("timeout", () => provider.channelRun(ctx, spec, { argv: ["/bin/true"], timeoutMs: 50 }));
  const asked = performance.now();
  await provider.machineStop(ctx, spec, { graceMs: silenceMs });
  expect(performance.now() - asked, "a hung guest does not hear that it should stop").toBeGreaterThanOrEqual(silenceMs - 1);
  await provider.machineStart(ctx, spec);
  expect((await provider.channelRun(ctx, spec, apply)).exitCode).toBe(0);
  expect(await pageOf(spec)).toBe("HTTP/1.1 200 OK");
});

test("a paused machine keeps its memory and is silent meanwhile", async () => {
  const spec = await applied();
  await provider.machinePause(ctx, spec);
  expect(await pageOf(spec)).toBe("silence");
  await provider.machineStart(ctx, spec);
  expect((await provider.channelRun(ctx, spec, { argv: ["/bin/cat", "/run/stratiform/context.json"] })).stdout).toBe("{}");
  expect(await pageOf(spec)).toBe("HTTP/1.1 200 OK");
});

test("what is done by hand shows, with an event, and machineEnsure brings it back", async () => {
  const spec = await applied();
  const { events } = await watched();
  await control.nicRemove(endpoint, spec.name, "eth0");
  await control.machineChange(endpoint, spec.name, { memoryMiB: 7 });
  expect(await provider.machineObserve(ctx, spec)).toMatchObject({ nics: [], memoryMiB: 7, power: "running" });
  await rejectsWith("endpoint_unreachable", () => pageOf(spec));
  expect(await provider.machineEnsure(ctx, spec)).toMatchObject({ nics: [{ attachment: simAttachment }], memoryMiB: spec.memoryMiB });
  expect(await pageOf(spec)).toBe("HTTP/1.1 200 OK");
  expect(eventsOf(events, spec)).toEqual([null, null, null]);
});

test("a daemon that restarts cuts calls and events, is away for a time, and its machines run on", async () => {
  const spec = await applied();
  const { events, ended } = await watched();
  const cut = rejectsWith("endpoint_unreachable", () => provider.channelRun(ctx, spec, { argv: ["/bin/sleep", "30"] }));
  const lost = rejectsWith("endpoint_unreachable", () => ended);
  await new Promise((resolve) => setTimeout(resolve, 50));
  await control.daemonRestart(endpoint, 200);
  await Promise.all([cut, lost]);
  await rejectsWith("endpoint_unreachable", () => provider.machineList(ctx));
  await control.machineKill(endpoint, spec.name);
  await new Promise((resolve) => setTimeout(resolve, 250));
  expect((await provider.machineObserve(ctx, spec))?.power).toBe("crashed");
  expect(eventsOf(events, spec), "what happened while nobody listened is lost").toEqual([]);
  const other = await applied();
  expect(await pageOf(other)).toBe("HTTP/1.1 200 OK");
});

test("events come late or never, as told", async () => {
  const spec = await applied();
  const { events } = await watched();
  await control.eventFault({ endpoint, delayMs: 1_000 });
  await control.machineKill(endpoint, spec.name);
  expect(eventsOf(events, spec)).toEqual([]);
  await expect.poll(() => eventsOf(events, spec), { timeout: 10_000 }).toEqual(["crashed"]);
  await control.eventFault({ endpoint, lose: true });
  await provider.machineStart(ctx, spec);
  await control.faultClear();
  await provider.machineStop(ctx, spec, { graceMs: 0 });
  await expect.poll(() => eventsOf(events, spec), { timeout: 10_000 }).toEqual(["crashed", "stopped"]);
});

test("the runaway of the field: every creation fails after the machine exists, for ever", async () => {
  await control.faultAdd({ endpoint, operation: "machineEnsure", failAfter: "endpoint_refused", forever: true });
  const specs = Array.from({ length: 5 }, () => subject.machine({ name: freshName(), owner: freshOwner() }));
  for (const spec of specs) {
    await rejectsWith("endpoint_refused", () => provider.machineEnsure(ctx, spec));
    await rejectsWith("endpoint_refused", () => provider.machineEnsure(ctx, spec));
  }
  const names = (await provider.machineList(ctx)).map(({ name }) => name);
  expect(specs.filter(({ name }) => !names.includes(name))).toEqual([]);
  expect(new Set(names).size).toBe(names.length);
});

test("an inventory tells what the records of a stranger's machine say", async () => {
  const records = { description: "the old wiki", createdAt: "2019-04-01T08:00:00Z", user: "ines" };
  await control.machinePlant(endpoint, "wiki", records);
  const { changes } = await control.dump();
  const item = (await provider.inventory(ctx)).find(({ name }) => name === "wiki");
  expect(item).toMatchObject({
    owner: null,
    description: records.description,
    created: { at: records.createdAt, source: "created_at" },
    ownerGuess: { who: records.user, source: "user.owner" },
  });
  expect((await control.dump()).changes).toBe(changes);
});

test("disks are small: what does not fit is refused by the guest, and the number of snapshots by the endpoint", async () => {
  const spec = await applied();
  const tee = (path: string, stdin: string) => provider.channelRun(ctx, spec, { argv: ["/usr/bin/tee", path], stdin });
  expect((await tee("/root/big", "x".repeat(20_000))).exitCode).toBe(1);
  expect((await tee("/var/lib/stratiform/volumes/none/mark", "x")).exitCode).toBe(1);
  for (let taken = 0; taken < 32; taken++) await provider.snapshotEnsure(ctx, spec, `s${taken}`);
  await rejectsWith("endpoint_refused", () => provider.snapshotEnsure(ctx, spec, "one-more"));
});
