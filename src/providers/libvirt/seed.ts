/**
 * The seed of a machine: name, addresses and the names of its neighbours, on a small disc that the guest reads at boot. Two readers:
 * cloud-init (`meta-data`, `user-data`, `network-config`) and our minimal guests (`stratiform/*`). No secret is ever in a seed.
 */
import { makeIso } from "#lib/iso9660.ts";
import type { MachineSpec } from "#provider/contract.ts";

/** What cloud-init looks for. */
const volumeLabel = "cidata";

export function makeSeed(spec: MachineSpec): Buffer {
  const hosts = hostsText(spec);
  return makeIso(volumeLabel, [
    { path: "meta-data", content: `instance-id: ${spec.owner.object}\nlocal-hostname: ${spec.hostname}\n` },
    { path: "user-data", content: userData(spec, hosts) },
    { path: "network-config", content: networkConfig(spec) },
    { path: "stratiform/hostname", content: `${spec.hostname}\n` },
    { path: "stratiform/hosts", content: hosts },
    { path: "stratiform/network", content: networkText(spec) },
  ]);
}

/** `/etc/hosts` as a whole. */
function hostsText(spec: MachineSpec): string {
  return ["127.0.0.1 localhost", ...spec.hosts.map(({ address, names }) => [address, ...names].join(" "))]
    .map((line) => `${line}\n`)
    .join("");
}

/** One line a NIC: name, MAC, address with prefix length, gateway or `-`. */
function networkText(spec: MachineSpec): string {
  return spec.nics.map((nic) => `${nic.name} ${nic.mac} ${nic.address}/${nic.prefixLength} ${nic.gateway ?? "-"}\n`).join("");
}

/** JSON is YAML: no quoting rules of our own. */
function userData(spec: MachineSpec, hosts: string): string {
  const config = { hostname: spec.hostname, manage_etc_hosts: false, write_files: [{ path: "/etc/hosts", content: hosts }] };
  return `#cloud-config\n${JSON.stringify(config, null, 1)}\n`;
}

function networkConfig(spec: MachineSpec): string {
  const ethernets = spec.nics.map((nic) => [
    nic.name,
    {
      match: { macaddress: nic.mac },
      "set-name": nic.name,
      dhcp4: false,
      addresses: [`${nic.address}/${nic.prefixLength}`],
      ...(nic.gateway === undefined ? {} : { routes: [{ to: "0.0.0.0/0", via: nic.gateway }] }),
    },
  ]);
  return `${JSON.stringify({ version: 2, ethernets: Object.fromEntries(ethernets) }, null, 1)}\n`;
}
