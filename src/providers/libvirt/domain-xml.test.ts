import fc from "fast-check";
import { expect, test } from "vitest";
import { XdrReader, XdrWriter } from "#lib/xdr.ts";
import type { MachineSpec } from "#provider/contract.ts";
import { buildDomainXml, machineFactsOf, parseDomainXml, powerOf } from "#providers/libvirt/domain-xml.ts";
import { procedure, remoteProgram, writeDomain } from "#providers/libvirt/protocol.ts";
import {
  buildOverlayVolumeXml,
  backingPathOf,
  buildPoolXml,
  digestOfDataPath,
  imageDataName,
  isImageName,
  poolPathOf,
} from "#providers/libvirt/volume-xml.ts";
import { machineEventOf } from "#providers/libvirt/watch.ts";
import { escapeXml, parseXml } from "#providers/libvirt/xml.ts";

const platform = { architecture: "x86_64", emulator: "/usr/bin/qemu", accelerator: "tcg" } as const;
const disks = {
  diskPath: "/pool/a.disk",
  seedPath: "/pool/a.seed",
  volumes: [
    { name: "data", path: "/pool/a.data" },
    { name: "log", path: "/pool/a.log" },
  ],
};
/** What XML can hold: no control characters. */
const xmlText = fc.string({ unit: "grapheme-ascii", minLength: 1, maxLength: 20 }).filter((text) => text.trim() === text && text !== "");

const spec: fc.Arbitrary<MachineSpec> = fc.record({
  name: fc.stringMatching(/^[a-z][a-z0-9-]{0,20}$/),
  owner: fc.record({ installation: fc.uuid(), vapp: fc.uuid(), object: fc.uuid() }),
  kind: fc.constant("vm" as const),
  image: fc.constant({ name: "strat-0", digest: "0" }),
  vcpus: fc.integer({ min: 1, max: 64 }),
  memoryMiB: fc.integer({ min: 16, max: 1 << 20 }),
  nics: fc.array(
    fc.record({
      name: fc.constant("eth0"),
      attachment: xmlText,
      mac: fc.constant("02:00:00:00:00:01"),
      address: fc.constant("10.0.0.1"),
      prefixLength: fc.constant(24),
    }),
    { maxLength: 4 },
  ),
  volumes: fc.constant([]),
  hostname: fc.constant("node-0"),
  hosts: fc.constant([]),
});

test("what is built is read back", () => {
  fc.assert(
    fc.property(spec, (one) => {
      const read = parseDomainXml(buildDomainXml(one, disks, platform));
      const { name, owner, vcpus, memoryMiB } = one;
      const nics = one.nics.map(({ mac, attachment }) => ({ mac, attachment }));
      expect(read).toEqual({
        ...{ name, uuid: owner.object, owner, vcpus, vcpusMax: vcpus, memoryMiB, memoryMaxMiB: memoryMiB, nics, isReduced: false },
        disks: [
          { path: disks.diskPath, target: "vda", serial: null, readOnly: false },
          { path: disks.seedPath, target: "vdb", serial: null, readOnly: true },
          { path: "/pool/a.data", target: "vdc", serial: "data", readOnly: false },
          { path: "/pool/a.log", target: "vdd", serial: "log", readOnly: false },
        ],
      });
      expect(machineFactsOf(read, "stopped", [])).toEqual({
        name,
        owner,
        kind: "vm",
        power: "stopped",
        vcpus,
        memoryMiB,
        nics,
        volumes: [],
        externalId: owner.object,
      });
    }),
  );
});

test("the accelerator decides type and processor", () => {
  const [one] = fc.sample(spec, 1) as [MachineSpec];
  const kvm = parseXml(buildDomainXml(one, disks, { ...platform, accelerator: "kvm" }), "domain");
  expect([kvm.attribute("type"), kvm.at("cpu")?.attribute("mode")]).toEqual(["kvm", "host-model"]);
  const tcg = parseXml(buildDomainXml(one, disks, platform), "domain");
  expect([tcg.attribute("type"), tcg.at("cpu/model")?.text]).toEqual(["qemu", "Nehalem"]);
});

test("a definition of somebody else has no owner; an incomplete mark is none", () => {
  const foreign = (metadata: string) =>
    parseDomainXml(
      `<domain type='qemu'><name>x</name><uuid>u</uuid><metadata>${metadata}</metadata><memory unit='GiB'>2</memory><vcpu current='2'>4</vcpu><devices/></domain>`,
    );
  expect(foreign("")).toMatchObject({ owner: null, memoryMiB: 2048, vcpus: 2, nics: [], disks: [] });
  expect(foreign("<stratiform:owner xmlns:stratiform='urn:stratiform:owner:1' installation='i' vapp='v'/>").owner).toBeNull();
});

test("any text survives escaping", () => {
  fc.assert(
    fc.property(xmlText, (text) => {
      const element = parseXml(`<a b='${escapeXml(text)}'><c>${escapeXml(text)}</c></a>`, "a");
      expect([element.attribute("b"), element.at("c")?.text]).toEqual([text, text]);
    }),
  );
});

test("a document of another kind, or none, is refused", () => {
  expect(() => parseXml("<volume/>", "domain")).toThrow(/cannot be read/);
  expect(() => parseXml("", "domain")).toThrow(/cannot be read/);
});

test("volumes and pools are read back", () => {
  const digest = "a".repeat(64);
  const name = imageDataName({ name: "strat-aaaaaaaaaaaaaaaa", digest }, "00ff00ff");
  expect(digestOfDataPath(`/pool/${name}`)).toBe(digest);
  expect([isImageName(name), isImageName("strat-aaaaaaaaaaaaaaaa"), isImageName("other")]).toEqual([false, true, false]);
  expect(digestOfDataPath("/pool/other.qcow2")).toBeNull();
  expect(backingPathOf(buildOverlayVolumeXml("d", `/pool & co/${name}`))).toBe(`/pool & co/${name}`);
  expect(backingPathOf("<volume type='file'><name>x</name></volume>")).toBeNull();
  expect(poolPathOf(buildPoolXml("p", "/a/b"))).toBe("/a/b");
});

test("states become powers", () => {
  expect([1, 2, 3, 4, 5, 6, 7, 0].map((state) => powerOf(state, 0))).toEqual([
    "running",
    "running",
    "paused",
    "running",
    "stopped",
    "crashed",
    "paused",
    "unknown",
  ]);
  expect(powerOf(5, 3)).toBe("crashed");
});

test("events say what libvirt said", () => {
  const event = (number: number, ...words: number[]) => {
    const writer = writeDomain(new XdrWriter().int(1), { name: "a", uuid: Buffer.alloc(16), id: 1 });
    for (const word of words) writer.int(word);
    return machineEventOf({ program: remoteProgram, procedure: number, body: new XdrReader(writer.toBuffer()) });
  };
  const life = (kind: number, detail = 0) => event(procedure.domainEventCallbackLifecycle, kind, detail)?.power ?? null;
  expect([life(0), life(0, 1), life(1), life(2), life(3), life(4), life(6), life(7), life(8)]).toEqual([
    "stopped",
    null,
    "removed",
    "running",
    "paused",
    "running",
    null,
    "paused",
    "crashed",
  ]);
  expect([0, 1, 2, 3, 5].map((detail) => life(5, detail))).toEqual(["stopped", "stopped", "crashed", "stopped", "crashed"]);
  expect(event(procedure.domainEventCallbackAgentLifecycle, 1, 1)).toMatchObject({
    name: "a",
    power: "running",
    reason: "guest agent connected",
  });
  expect(event(procedure.domainEventCallbackAgentLifecycle, 2, 1)).toBeNull();
  expect(event(999, 1, 1)).toBeNull();
});
