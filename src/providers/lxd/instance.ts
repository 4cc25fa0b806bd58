/** What an instance is in LXD's terms and in ours: pure translation in both directions. */
import { z } from "zod";
import { AppError } from "#domain/error.ts";
import type { OwnerMark } from "#domain/owner.ts";
import type { MachineFacts, MachinePower, MachineSpec } from "#provider/contract.ts";

const stringMap = z.record(z.string(), z.string());
export const instanceSchema = z.object({
  name: z.string(),
  type: z.string(),
  status: z.string(),
  architecture: z.string(),
  description: z.string().nullish(),
  ephemeral: z.boolean(),
  profiles: z.array(z.string()).nullish(),
  config: stringMap,
  devices: z.record(z.string(), stringMap),
  expanded_config: stringMap,
  expanded_devices: z.record(z.string(), stringMap),
});
export type Instance = z.output<typeof instanceSchema>;

type Devices = Readonly<Record<string, Readonly<Record<string, string>>>>;

/** The part of an instance that we decide; everything else in it is LXD's or an operator's business. */
export interface InstanceWish {
  readonly config: Readonly<Record<string, string>>;
  readonly devices: Devices;
}

export function instanceWish(spec: MachineSpec, pool: string): InstanceWish {
  const nics = spec.nics.map((nic): [string, Record<string, string>] => [
    nic.name,
    { type: "nic", nictype: "bridged", parent: nic.attachment, name: nic.name, hwaddr: nic.mac },
  ]);
  const hosts = [{ address: "127.0.0.1", names: ["localhost"] }, ...spec.hosts];
  return {
    config: {
      "limits.cpu": String(spec.vcpus),
      "limits.memory": `${spec.memoryMiB}MiB`,
      ...ownerConfig(spec.owner),
      "user.stratiform.hostname": spec.hostname,
      "user.stratiform.hosts": hosts.map(({ address, names }) => [address, ...names].join(" ")).join("\n"),
      "user.stratiform.network": spec.nics
        .map((nic) => `${nic.name} ${nic.mac} ${nic.address}/${nic.prefixLength} ${nic.gateway ?? "-"}`)
        .join("\n"),
    },
    devices: { root: { type: "disk", path: "/", pool }, ...Object.fromEntries(nics) },
  };
}

function ownerConfig(owner: OwnerMark): Record<string, string> {
  return {
    "user.stratiform.installation": owner.installation,
    "user.stratiform.vapp": owner.vapp,
    "user.stratiform.object": owner.object,
  };
}

/** Body of the request that replaces an instance's definition, or null when it already is as wished. NICs we did not ask for go away. */
export function instanceDrift(instance: Instance, wish: InstanceWish): object | null {
  const configDiffers = Object.entries(wish.config).some(([key, value]) => instance.config[key] !== value);
  const kept = Object.entries(instance.devices).filter(([name, device]) => device["type"] !== "nic" && wish.devices[name] === undefined);
  const devices: Devices = { ...Object.fromEntries(kept), ...wish.devices };
  if (!configDiffers && sameDevices(instance.devices, devices)) return null;
  return {
    architecture: instance.architecture,
    description: instance.description ?? "",
    ephemeral: instance.ephemeral,
    profiles: instance.profiles ?? [],
    config: { ...instance.config, ...wish.config },
    devices,
  };
}

function sameDevices(a: Devices, b: Devices): boolean {
  const flat = (devices: Devices) =>
    Object.entries(devices).flatMap(([name, device]) => Object.entries(device).map(([key, value]) => JSON.stringify([name, key, value])));
  return flat(a).toSorted().join() === flat(b).toSorted().join();
}

const powers: Readonly<Record<string, MachinePower>> = {
  Running: "running",
  Ready: "running",
  Stopped: "stopped",
  Frozen: "paused",
};

export function instanceFacts(instance: Instance): MachineFacts {
  const config = instance.expanded_config;
  const nics = Object.entries(instance.expanded_devices).filter(([, device]) => device["type"] === "nic");
  return {
    name: instance.name,
    owner: instanceOwner(instance),
    kind: instance.type === "virtual-machine" ? "vm" : "container",
    power: powers[instance.status] ?? "unknown",
    vcpus: cpuCount(config["limits.cpu"]),
    memoryMiB: memoryMiB(config["limits.memory"]),
    nics: nics.map(([name, device]) => ({
      mac: device["hwaddr"] ?? config[`volatile.${name}.hwaddr`] ?? "",
      attachment: device["parent"] ?? device["network"] ?? "",
    })),
    volumes: [],
    externalId: instance.name,
  };
}

export function instanceOwner({ config }: Pick<Instance, "config">): OwnerMark | null {
  const installation = config["user.stratiform.installation"];
  const vapp = config["user.stratiform.vapp"];
  const object = config["user.stratiform.object"];
  return installation === undefined || vapp === undefined || object === undefined ? null : { installation, vapp, object };
}

/** A number, a set ("0-3,7") or, without a limit, 0: others' instances may use the whole host. */
function cpuCount(limit = ""): number {
  if (/^\d+$/.test(limit)) return Number(limit);
  return limit.split(",").reduce((sum, part) => {
    const [first, last = first] = part.split("-").map(Number);
    return Number.isInteger(first) && Number.isInteger(last) && part !== "" ? sum + last! - first! + 1 : sum;
  }, 0);
}

const memoryUnits: Readonly<Record<string, number>> = {
  "": 1,
  B: 1,
  kB: 1e3,
  MB: 1e6,
  GB: 1e9,
  TB: 1e12,
  KiB: 1024,
  MiB: 1024 ** 2,
  GiB: 1024 ** 3,
  TiB: 1024 ** 4,
};

/** 0 without a limit, and for percentages of a host that somebody else gave. */
function memoryMiB(limit = ""): number {
  const match = /^(\d+)\s*([kKMGT]?i?B?)$/.exec(limit);
  const unit = memoryUnits[match?.[2] ?? "-"];
  return match === null || unit === undefined ? 0 : Math.round((Number(match[1]) * unit) / 1024 ** 2);
}

export function notOurs(name: string): AppError {
  return new AppError("not_ours", `The name ${name} is taken by an object that is not ours`);
}
