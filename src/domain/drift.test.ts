import { expect, it } from "vitest";
import { driftMerged, driftOf, membersDrift } from "#domain/drift.ts";

const nic = (mac: string) => ({ mac, attachment: "s1" });
const shape = { vcpus: 1, memoryMiB: 256, nics: [nic("02:01"), nic("02:02")], volumes: [{ name: "data", sizeMiB: 1024 }] };

it("what is as ordered is no drift, and what is more than ordered neither", () => {
  expect(driftOf(shape, shape, false)).toEqual([]);
  const more = {
    ...shape,
    nics: [...shape.nics, nic("02:03")],
    volumes: [
      { name: "data", sizeMiB: 4096 },
      { name: "own", sizeMiB: 1 },
    ],
  };
  expect(driftOf(shape, more, false)).toEqual([]);
});

it("names each difference with both sides", () => {
  const changed = { vcpus: 2, memoryMiB: 128, nics: [nic("02:02")], volumes: [{ name: "data", sizeMiB: 512 }] };
  expect(driftOf(shape, changed, true).map(({ name, stuck }) => [name, stuck])).toEqual([
    ["vcpus", true],
    ["memoryMiB", true],
    ["nics", true],
    ["volumes", true],
  ]);
  expect(driftOf(shape, { ...shape, memoryMiB: 128 }, false)).toEqual([{ name: "memoryMiB", desired: 256, observed: 128, stuck: false }]);
});

it("members that get no requests are missed, others are left alone", () => {
  expect(membersDrift(["web-0"], ["web-1", "web-0"])).toEqual([]);
  expect(membersDrift(["web-1", "web-0"], ["web-0", "own"])).toEqual([
    { name: "members", desired: ["web-0", "web-1"], observed: ["own", "web-0"], stuck: false },
  ]);
});

it("who looked at one part says nothing of the other", () => {
  const [members] = membersDrift(["web-0"], []);
  const [memory] = driftOf(shape, { ...shape, memoryMiB: 128 }, false);
  expect(driftMerged([members!, memory!], [], "shape")).toEqual([members]);
  expect(driftMerged([members!, memory!], [], "members")).toEqual([memory]);
  expect(driftMerged([memory!], [members!], "members")).toEqual([memory, members]);
});
