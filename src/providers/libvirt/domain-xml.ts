/**
 * The definition of our virtual machines and the facts read back from any definition.
 *
 * Choices that were paid for: the disk has boot order 1, or SeaBIOS tries the seed and hangs; the seed is a second virtio disk, because
 * minimal kernels have no AHCI; network cards have no option ROM, which saves seconds of boot; software emulation needs a CPU model of its
 * own, because the default one lacks what current distributions require.
 */
import type { OwnerMark } from "#domain/owner.ts";
import type { MachineFacts, MachinePower, MachineSpec, NicSpec, VolumeSpec } from "#provider/contract.ts";
import { domainState, shutoffReasonCrashed } from "#providers/libvirt/protocol.ts";
import { escapeXml, parseXml, type XmlElement } from "#providers/libvirt/xml.ts";

const ownerNamespace = "urn:stratiform:owner:1";
export const agentChannelName = "org.qemu.guest_agent.0";

/** What the endpoint offers, read once from its capabilities. */
export interface Platform {
  readonly architecture: string;
  readonly emulator: string;
  readonly accelerator: "kvm" | "tcg";
}

export interface DomainDisks {
  readonly diskPath: string;
  readonly seedPath: string;
  /** Data volumes, in the order of their targets. */
  readonly volumes: readonly NamedFile[];
}

export interface NamedFile {
  readonly name: string;
  readonly path: string;
}

export function domainTypeOf(accelerator: Platform["accelerator"]): "kvm" | "qemu" {
  return accelerator === "kvm" ? "kvm" : "qemu";
}

export function buildDomainXml(spec: MachineSpec, disks: DomainDisks, platform: Platform): string {
  const { owner } = spec;
  return `<domain type='${domainTypeOf(platform.accelerator)}'>
  <name>${escapeXml(spec.name)}</name>
  <uuid>${escapeXml(owner.object)}</uuid>
  <metadata>
    <stratiform:owner xmlns:stratiform='${ownerNamespace}' installation='${escapeXml(owner.installation)}' vapp='${escapeXml(owner.vapp)}' object='${escapeXml(owner.object)}'/>
  </metadata>
  <memory unit='MiB'>${spec.memoryMiB}</memory>
  <vcpu>${spec.vcpus}</vcpu>
  <os><type arch='${escapeXml(platform.architecture)}' machine='q35'>hvm</type></os>
  <features><acpi/><apic/></features>
  ${cpuXml(platform.accelerator)}
  <clock offset='utc'/>
  <on_poweroff>destroy</on_poweroff><on_reboot>restart</on_reboot><on_crash>destroy</on_crash>
  <pm><suspend-to-mem enabled='no'/><suspend-to-disk enabled='no'/></pm>
  <devices>
    <emulator>${escapeXml(platform.emulator)}</emulator>
    <disk type='file' device='disk'>
      <driver name='qemu' type='qcow2' discard='unmap'/><source file='${escapeXml(disks.diskPath)}'/><target dev='vda' bus='virtio'/><boot order='1'/>
    </disk>
    <disk type='file' device='disk'>
      <driver name='qemu' type='raw'/><source file='${escapeXml(disks.seedPath)}'/><target dev='vdb' bus='virtio'/><readonly/>
    </disk>
    ${disks.volumes.map((volume, index) => dataDiskXml(volume, dataTargets[index] ?? "")).join("\n    ")}
    <controller type='usb' model='none'/>
    ${portsXml(disks.volumes.length + spec.nics.length)}
    ${spec.nics.map(nicXml).join("\n    ")}
    <serial type='pty'><target port='0'/></serial>
    <console type='pty'><target type='serial' port='0'/></console>
    <channel type='unix'><target type='virtio' name='${agentChannelName}'/></channel>
    <graphics type='vnc' port='-1' autoport='yes' websocket='-1' listen='127.0.0.1'/>
    <video><model type='vga'/></video>
    <memballoon model='virtio'><stats period='10'/></memballoon>
    <rng model='virtio'><backend model='random'>/dev/urandom</backend></rng>
  </devices>
</domain>`;
}

function cpuXml(accelerator: Platform["accelerator"]): string {
  if (accelerator === "kvm") return "<cpu mode='host-model'/>";
  return "<cpu mode='custom' match='exact' check='none'><model fallback='forbid'>Nehalem</model></cpu>";
}

/** Each virtio device sits in a port of its own: disk, seed, agent, balloon, random numbers, and one for each NIC and volume. */
const devicesAlways = 5;
/** Devices are plugged into a running machine only where a port is free. Ports cost no time at boot that could be measured. */
const portsSpare = 6;

function portsXml(devices: number): string {
  return (
    "<controller type='pci' model='pcie-root'/>" +
    "<controller type='pci' model='pcie-root-port'/>".repeat(devicesAlways + devices + portsSpare)
  );
}

/** vda is the system, vdb the seed. */
const dataTargets = Array.from("cdefghijklmnopqrstuvwxyz", (letter) => `vd${letter}`);

/** The guest finds it by its serial number: targets may move. */
export function dataDiskXml({ name, path }: NamedFile, target: string): string {
  return `<disk type='file' device='disk'><driver name='qemu' type='qcow2' discard='unmap'/><source file='${escapeXml(path)}'/><target dev='${target}' bus='virtio'/><serial>${escapeXml(name)}</serial></disk>`;
}

/** The first target that no disk of the domain has; null when there is no more. */
export function freeTarget(taken: readonly string[]): string | null {
  return dataTargets.find((target) => !taken.includes(target)) ?? null;
}

/** The alias keeps the order of NICs in mind: a lost one comes back as the last. */
export function nicXml(nic: NicSpec): string {
  return `<interface type='bridge'><mac address='${escapeXml(nic.mac)}'/><source bridge='${escapeXml(nic.attachment)}'/><model type='virtio'/><alias name='${aliasPrefix}${escapeXml(nic.name)}'/><rom enabled='no'/></interface>`;
}

/** libvirt leaves names alone that begin so. */
const aliasPrefix = "ua-";

/** A definition, or a running machine, as far as we compare or report it. */
export interface DomainDescription {
  readonly name: string;
  readonly uuid: string;
  readonly owner: OwnerMark | null;
  /** vCPUs that are plugged in, out of those that could be. */
  readonly vcpus: number;
  readonly vcpusMax: number;
  /** What the guest has now, out of what it was started with: somebody may have taken some with its balloon. */
  readonly memoryMiB: number;
  readonly memoryMaxMiB: number;
  readonly nics: readonly { readonly mac: string; readonly attachment: string }[];
  readonly disks: readonly DomainDisk[];
  /** Its whole definition lies aside (aside.ts). */
  readonly isReduced: boolean;
}

/** Of the metadata element that holds it. */
export const asideElement = "stratiform-aside:definition";

export interface DomainDisk {
  readonly path: string;
  readonly target: string;
  readonly serial: string | null;
  readonly readOnly: boolean;
}

export function parseDomainXml(text: string): DomainDescription {
  const domain = parseXml(text, "domain");
  const devices = domain.at("devices");
  const vcpu = domain.at("vcpu");
  return {
    name: domain.at("name")?.text ?? "",
    uuid: domain.at("uuid")?.text ?? "",
    owner: ownerOf(domain),
    vcpus: Number(vcpu?.attribute("current") ?? vcpu?.text ?? 0),
    vcpusMax: Number(vcpu?.text ?? 0),
    memoryMiB: memoryMiBOf(domain.at("currentMemory") ?? domain.at("memory")),
    memoryMaxMiB: memoryMiBOf(domain.at("memory")),
    nics: (devices?.all("interface") ?? [])
      .map((nic) => ({
        alias: nic.at("alias")?.attribute("name") ?? "",
        mac: nic.at("mac")?.attribute("address") ?? "",
        attachment: nic.at("source")?.attribute("bridge") ?? nic.at("source")?.attribute("network") ?? "",
      }))
      .toSorted((a, b) => nicOrder(a.alias) - nicOrder(b.alias))
      .map(({ mac, attachment }) => ({ mac, attachment })),
    disks: (devices?.all("disk") ?? []).flatMap(diskOf),
    isReduced: domain.at(`metadata/${asideElement}`) !== null,
  };
}

/** `ua-eth3` is 3; NICs of others stay in their order, behind ours. */
function nicOrder(alias: string): number {
  const number = alias.startsWith(aliasPrefix) ? /\d+$/.exec(alias)?.[0] : undefined;
  return number === undefined ? Number.MAX_SAFE_INTEGER : Number(number);
}

/** Only what holds data: no drives for discs, nothing without a file or device. */
function diskOf(disk: XmlElement): DomainDisk[] {
  const path = disk.at("source")?.attribute("file") ?? disk.at("source")?.attribute("dev");
  const target = disk.at("target")?.attribute("dev");
  if (!path || !target || (disk.attribute("device") ?? "disk") !== "disk") return [];
  return [{ path, target, serial: disk.at("serial")?.text ?? null, readOnly: disk.at("readonly") !== null }];
}

/** Null when the mark is missing or incomplete: then the domain is somebody else's. */
function ownerOf(domain: XmlElement): OwnerMark | null {
  for (const mark of domain.at("metadata")?.all("stratiform:owner") ?? []) {
    const [installation, vapp, object] = ["installation", "vapp", "object"].map((name) => mark.attribute(name));
    if (installation && vapp && object) return { installation, vapp, object };
  }
  return null;
}

const bytesPerUnit: Readonly<Record<string, number>> = {
  b: 1,
  bytes: 1,
  KB: 1e3,
  k: 1024,
  KiB: 1024,
  MB: 1e6,
  M: 1024 ** 2,
  MiB: 1024 ** 2,
  GB: 1e9,
  G: 1024 ** 3,
  GiB: 1024 ** 3,
};

function memoryMiBOf(memory: XmlElement | null): number {
  const unit = bytesPerUnit[memory?.attribute("unit") ?? "KiB"] ?? 1024;
  return Math.round((Number(memory?.text ?? 0) * unit) / 1024 ** 2);
}

export function machineFactsOf(description: DomainDescription, power: MachinePower, volumes: readonly VolumeSpec[]): MachineFacts {
  const { name, owner, vcpus, memoryMiB, nics, uuid } = description;
  return { name, owner, kind: "vm", power, vcpus, memoryMiB, nics, volumes, externalId: uuid };
}

/** A domain that is shutting down still runs. */
export function powerOf(state: number, reason: number): MachinePower {
  switch (state) {
    case domainState.running:
    case domainState.blocked:
    case domainState.shutdown:
      return "running";
    case domainState.paused:
    case domainState.pmsuspended:
      return "paused";
    case domainState.shutoff:
      return reason === shutoffReasonCrashed ? "crashed" : "stopped";
    case domainState.crashed:
      return "crashed";
    default:
      return "unknown";
  }
}
