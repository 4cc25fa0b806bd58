/**
 * The definition of our virtual machines and the facts read back from any definition.
 *
 * Choices that were paid for: the disk has boot order 1, or SeaBIOS tries the seed and hangs; the seed is a second virtio disk, because
 * minimal kernels have no AHCI; network cards have no option ROM, which saves seconds of boot; software emulation needs a CPU model of its
 * own, because the default one lacks what current distributions require.
 */
import type { OwnerMark } from "#domain/owner.ts";
import type { MachineFacts, MachinePower, MachineSpec, NicSpec } from "#provider/contract.ts";
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
    <controller type='usb' model='none'/>
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

function nicXml(nic: NicSpec): string {
  return `<interface type='bridge'><mac address='${escapeXml(nic.mac)}'/><source bridge='${escapeXml(nic.attachment)}'/><model type='virtio'/><rom enabled='no'/></interface>`;
}

/** A definition, as far as we compare or report it. */
export interface DomainDescription {
  readonly name: string;
  readonly uuid: string;
  readonly owner: OwnerMark | null;
  readonly vcpus: number;
  readonly memoryMiB: number;
  readonly nics: readonly { readonly mac: string; readonly attachment: string }[];
  /** Files of its disks, in order. */
  readonly diskPaths: readonly string[];
}

export function parseDomainXml(text: string): DomainDescription {
  const domain = parseXml(text, "domain");
  const devices = domain.at("devices");
  // Like `virsh dominfo`: vCPUs that are plugged in now, out of those that could be.
  const vcpu = domain.at("vcpu");
  return {
    name: domain.at("name")?.text ?? "",
    uuid: domain.at("uuid")?.text ?? "",
    owner: ownerOf(domain),
    vcpus: Number(vcpu?.attribute("current") ?? vcpu?.text ?? 0),
    memoryMiB: memoryMiBOf(domain.at("memory")),
    nics: (devices?.all("interface") ?? []).map((nic) => ({
      mac: nic.at("mac")?.attribute("address") ?? "",
      attachment: nic.at("source")?.attribute("bridge") ?? nic.at("source")?.attribute("network") ?? "",
    })),
    diskPaths: (devices?.all("disk") ?? []).flatMap((disk) => disk.at("source")?.attribute("file") ?? []),
  };
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

export function machineFactsOf(description: DomainDescription, power: MachinePower): MachineFacts {
  const { name, owner, vcpus, memoryMiB, nics, uuid } = description;
  return { name, owner, kind: "vm", power, vcpus, memoryMiB, nics, volumes: [], externalId: uuid };
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
