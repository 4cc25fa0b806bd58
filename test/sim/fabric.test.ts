/** The rules of the simulated network that the fabric conformance suite does not ask for, and the table of who may reach whom. */
import { createServer } from "node:net";
import { afterAll, beforeAll, expect, test } from "vitest";
import type { ProbeHost } from "#fabric/conformance.ts";
import type { Fabric, SegmentFacts } from "#fabric/contract.ts";
import { callContext, freshOwner, rejectsWith } from "#provider/conformance/subject.ts";
import { simFabricSubject, socketRead } from "../support/sim-fabric-subject.ts";

const subject = simFabricSubject();
const ctx = callContext();
const hosts: Record<string, ProbeHost> = {};
let fabric: Fabric;
let open: SegmentFacts;

beforeAll(async () => {
  await subject.start();
  fabric = await subject.open();
  const segment = (name: string, third: number, isolated: boolean) =>
    fabric.segmentEnsure(ctx, { name, owner: freshOwner(), prefix: `10.64.${third}.0/24`, gateway: `10.64.${third}.1`, isolated });
  open = await segment("sopen", 1, false);
  const [other, shut] = [await segment("sother", 2, false), await segment("sshut", 3, true)];
  hosts.open = await subject.attachHost(open, "10.64.1.5");
  hosts.neighbour = await subject.attachHost(open, "10.64.1.6");
  hosts.other = await subject.attachHost(other, "10.64.2.5");
  hosts.shut = await subject.attachHost(shut, "10.64.3.5");
  hosts.shutNeighbour = await subject.attachHost(shut, "10.64.3.6");
  hosts.outside = await subject.outside();
  for (const [name, host] of Object.entries(hosts)) await host.listen(80, name);
});

afterAll(async () => {
  await fabric.close();
  await subject.stop();
});

/** Who hears whom, completely: a rule that is too wide shows as well as one that is too narrow. */
const reachable: Record<string, string[]> = {
  open: ["open", "neighbour", "outside"],
  neighbour: ["open", "neighbour", "outside"],
  other: ["other", "outside"],
  shut: ["shut", "shutNeighbour"],
  shutNeighbour: ["shut", "shutNeighbour"],
  outside: ["outside"],
};

test.each(Object.keys(reachable))("from %s only the allowed hosts answer", async (from) => {
  const heard: string[] = [];
  for (const [name, host] of Object.entries(hosts)) {
    const answer = await hosts[from]!.fetch(host.address, 80, 1_000);
    if (answer !== null) expect(answer).toBe(name);
    if (answer !== null) heard.push(name);
    expect(await hosts[from]!.fetch(host.address, 81, 1_000), "nobody listens there").toBeNull();
  }
  expect(heard).toEqual(reachable[from]);
});

test("an exposure moves to another port only when that one is free", async () => {
  const owner = freshOwner();
  const spec = { name: "moving", owner, target: { segment: open.name, address: hosts.open!.address, port: 80 } };
  const first = await fabric.exposureEnsure(ctx, spec);
  const squatter = createServer();
  const taken = await new Promise<number>((resolve) =>
    squatter.listen(0, "127.0.0.1", () => resolve((squatter.address() as { port: number }).port)),
  );
  await rejectsWith("conflict", () => fabric.exposureEnsure(ctx, { ...spec, port: taken }));
  expect(await socketRead(first.address, first.port, 1_000)).toBe("open");
  await new Promise((resolve) => squatter.close(resolve));
  expect(await fabric.exposureEnsure(ctx, { ...spec, port: taken })).toMatchObject({ port: taken });
  expect(await socketRead(first.address, taken, 1_000)).toBe("open");
  expect(await socketRead(first.address, first.port, 1_000)).toBeNull();
  expect((await fabric.exposureEnsure(ctx, spec)).port, "without a wish it keeps its port").toBe(taken);
  await fabric.exposureRemove(ctx, spec);
});

test("an exposure whose target does not answer resets the connection", async () => {
  const spec = { name: "dead", owner: freshOwner(), target: { segment: open.name, address: "10.64.1.99", port: 80 } };
  const { address, port } = await fabric.exposureEnsure(ctx, spec);
  expect(await socketRead(address, port, 1_000)).toBeNull();
  await fabric.exposureRemove(ctx, spec);
});

test("a segment keeps its prefix for life", async () => {
  const owner = freshOwner();
  const spec = { name: "sfixed", owner, prefix: "10.64.9.0/24", gateway: "10.64.9.1", isolated: false };
  await fabric.segmentEnsure(ctx, spec);
  await rejectsWith("conflict", () => fabric.segmentEnsure(ctx, { ...spec, prefix: "10.64.8.0/24" }));
  expect(await fabric.segmentEnsure(ctx, { ...spec, isolated: true })).toMatchObject({ isolated: true, prefix: spec.prefix });
  await fabric.segmentRemove(ctx, spec);
});
