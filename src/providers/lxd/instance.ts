/** What an instance is in LXD's terms and in ours: pure translation in both directions. */
import { z } from "zod";
import { AppError } from "#domain/error.ts";
import type { OwnerMark } from "#domain/owner.ts";
import type { MachineFacts, MachinePower, MachineSpec } from "#provider/contract.ts";

export const stringMap = z.record(z.string(), z.string());
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
  created_at: z.string().nullish(),
  project: z.string().nullish(),
});
export type Instance = z.output<typeof instanceSchema>;

type Devices = Readonly<Record<string, Readonly<Record<string, string>>>>;

/** The part of an instance that we decide; everything else in it is LXD's or an operator's business. */
export interface InstanceWish {
  readonly config: Record<string, string>;
  readonly devices: Record<string, Record<string, string>>;
}

export function instanceWish(spec: MachineSpec, pool: string): InstanceWish {
  const nics = spec.nics.map((nic): [string, Record<string, string>] => [
    nic.name,
    { type: "nic", nictype: "bridged", parent: nic.attachment, name: nic.name, hwaddr: nic.mac },
  ]);
  const volumes = spec.volumes.map((volume): [string, Record<string, string>] => [
    `${volumePrefix}${volume.name}`,
    { type: "disk", pool, source: volumeSource(spec.name, volume.name), path: `${volumeFolder}/${volume.name}` },
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
    devices: { root: { type: "disk", path: "/", pool }, ...Object.fromEntries([...nics, ...volumes]) },
  };
}

const volumePrefix = "volume-";
/** Where guests find their volumes (images/README.md). */
const volumeFolder = "/var/lib/stratiform/volumes";

/** A volume's name has no dash, so the last one divides: no two machines share a name. */
export function volumeSource(machine: string, volume: string): string {
  return `${machine}-${volume}`;
}

/** Sizes of storage volumes in MiB by `volumeKey`. */
export type VolumeSizes = ReadonlyMap<string, number>;

export function volumeKey(instance: Pick<Instance, "project">, pool: string, source: string): string {
  return `${instanceProject(instance)}/${pool}/${source}`;
}

export function instanceProject({ project }: Pick<Instance, "project">): string {
  return project ?? defaultProject;
}

export const defaultProject = "default";

export interface VolumeDevice {
  /** What the volume is called in the machine. */
  readonly name: string;
  readonly pool: string;
  /** What it is called in the pool. */
  readonly source: string;
}

/** Attached storage volumes, also those of other people's instances; not the root, and not folders of the host. */
export function volumeDevices(instance: Pick<Instance, "expanded_devices">): VolumeDevice[] {
  return Object.entries(instance.expanded_devices).flatMap(([device, { type, path, pool, source }]) => {
    if (type !== "disk" || path === "/" || pool === undefined || source === undefined) return [];
    return [{ name: device.startsWith(volumePrefix) ? device.slice(volumePrefix.length) : device, pool, source }];
  });
}

export function ownerConfig(owner: OwnerMark): Record<string, string> {
  return {
    "user.stratiform.installation": owner.installation,
    "user.stratiform.vapp": owner.vapp,
    "user.stratiform.object": owner.object,
  };
}

/** Body of the request that replaces an instance's definition. */
export function instanceBody(instance: Instance, changes: Partial<Pick<Instance, "config" | "devices">>): object {
  return {
    architecture: instance.architecture,
    description: instance.description ?? "",
    ephemeral: instance.ephemeral,
    profiles: instance.profiles ?? [],
    config: instance.config,
    devices: instance.devices,
    ...changes,
  };
}

/** Those that we made and attached: an operator may have added others, which are theirs. */
export function ourVolumeDevices(instance: Pick<Instance, "expanded_devices">): VolumeDevice[] {
  const ours = Object.entries(instance.expanded_devices).filter(([device]) => device.startsWith(volumePrefix));
  return volumeDevices({ expanded_devices: Object.fromEntries(ours) });
}

/** The same wish, but for the limits: those stay as they are. */
export function wishKeepingLimits(wish: InstanceWish, instance: Instance): InstanceWish {
  const kept = Object.entries(instance.config).filter(([key]) => limitKeys.includes(key));
  const others = Object.entries(wish.config).filter(([key]) => !limitKeys.includes(key));
  return { ...wish, config: Object.fromEntries([...others, ...kept]) };
}

const limitKeys: readonly string[] = ["limits.cpu", "limits.memory"];

/** The wish for the call that makes the instance: volumes come once it is there, so that every volume has its machine. */
export function wishWithoutVolumes(wish: InstanceWish): InstanceWish {
  return { ...wish, devices: Object.fromEntries(Object.entries(wish.devices).filter(([name]) => !name.startsWith(volumePrefix))) };
}

/** Body of the request that replaces an instance's definition, or null when it already is as wished. NICs we did not ask for go away. */
export function instanceDrift(instance: Instance, wish: InstanceWish): object | null {
  const configDiffers = Object.entries(wish.config).some(([key, value]) => instance.config[key] !== value);
  const kept = Object.entries(instance.devices).filter(([name, device]) => device["type"] !== "nic" && wish.devices[name] === undefined);
  const devices = { ...Object.fromEntries(kept), ...wish.devices };
  if (!configDiffers && sameDevices(instance.devices, devices)) return null;
  return instanceBody(instance, { config: { ...instance.config, ...wish.config }, devices });
}

function sameDevices(a: Devices, b: Devices): boolean {
  const flat = (devices: Devices) =>
    Object.entries(devices).flatMap(([name, device]) => Object.entries(device).map(([key, value]) => JSON.stringify([name, key, value])));
  return flat(a).toSorted().join() === flat(b).toSorted().join();
}

/** Thawed and freezing are LXC's own words for the moments after and before a pause. While it starts, stops or fails: unknown. */
const powers: Readonly<Record<string, MachinePower>> = {
  Running: "running",
  Ready: "running",
  Thawed: "running",
  Freezing: "running",
  Stopped: "stopped",
  Frozen: "paused",
};

export function instancePower(instance: Pick<Instance, "status">): MachinePower {
  return powers[instance.status] ?? "unknown";
}

export function instanceFacts(instance: Instance, sizes: VolumeSizes): MachineFacts {
  const config = instance.expanded_config;
  const nics = Object.entries(instance.expanded_devices).filter(([, device]) => device["type"] === "nic");
  return {
    name: instance.name,
    owner: configOwner(instance.config),
    kind: instance.type === "virtual-machine" ? "vm" : "container",
    power: instancePower(instance),
    vcpus: cpuCount(config["limits.cpu"]),
    memoryMiB: sizeMiB(config["limits.memory"]),
    nics: nics.map(([name, device]) => ({
      mac: device["hwaddr"] ?? config[`volatile.${name}.hwaddr`] ?? "",
      attachment: device["parent"] ?? device["network"] ?? "",
    })),
    volumes: volumeDevices(instance).flatMap(({ name, pool, source }) => {
      const size = sizes.get(volumeKey(instance, pool, source));
      return size === undefined ? [] : [{ name, sizeMiB: size }];
    }),
    externalId: instance.name,
  };
}

/** The mark in an instance's or a volume's configuration. */
export function configOwner(config: Readonly<Record<string, string>>): OwnerMark | null {
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

const sizeUnits: Readonly<Record<string, number>> = {
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
export function sizeMiB(limit = ""): number {
  const match = /^(\d+)\s*([kKMGT]?i?B?)$/.exec(limit);
  const unit = sizeUnits[match?.[2] ?? "-"];
  return match === null || unit === undefined ? 0 : Math.round((Number(match[1]) * unit) / 1024 ** 2);
}

export function notOurs(name: string): AppError {
  return new AppError("not_ours", `The name ${name} is taken by an object that is not ours`);
}
