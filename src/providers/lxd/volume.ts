/**
 * Data volumes: custom storage volumes beside the instance, because they have to live and to be snapshotted on their own. A volume is
 * named MACHINE-VOLUME, carries the machine's mark from its creation, and is attached as the device `volume-NAME`. So whoever has the
 * mark finds all of a machine's volumes, also when the instance is gone or a device was taken away by hand.
 *
 * Size: pools with quotas (btrfs, zfs, lvm, ceph) hold a volume to it, and LXD changes record and quota together. A `dir` pool has none:
 * there the size is only what the volume was made for. It may take more, up to all the pool has, and is promised no room of its own.
 */
import { z } from "zod";
import type { CallContext } from "#domain/context.ts";
import { isAppError } from "#domain/error.ts";
import { sameOwner, type OwnerMark } from "#domain/owner.ts";
import type { MachineSpec, VolumeSpec } from "#provider/contract.ts";
import { parseMetadata, type LxdConnection } from "./connection.ts";
import { orNull } from "./image.ts";
import {
  configOwner,
  defaultProject,
  instanceProject,
  volumeKey,
  notOurs,
  ownerConfig,
  sizeMiB,
  volumeDevices,
  volumeSource,
  type Instance,
  type VolumeSizes,
} from "./instance.ts";

const volumeSchema = z.object({
  name: z.string(),
  description: z.string().nullish(),
  config: z.record(z.string(), z.string()).nullish(),
});
type Volume = z.output<typeof volumeSchema>;

const volumeRemoveRounds = 5;

function poolPath(pool: string): string {
  return `/1.0/storage-pools/${encodeURIComponent(pool)}/volumes/custom`;
}

export function volumePath(pool: string, volume: string): string {
  return `${poolPath(pool)}/${encodeURIComponent(volume)}`;
}

async function volumeFind(ctx: CallContext, lxd: LxdConnection, pool: string, name: string): Promise<Volume | null> {
  const answer = await orNull(lxd.request(ctx, "GET", volumePath(pool, name)));
  return answer === null ? null : parseMetadata(volumeSchema, answer.metadata, "volume");
}

async function volumeList(ctx: CallContext, lxd: LxdConnection, pool: string, project = defaultProject): Promise<Volume[]> {
  // Snapshots are in the list too, named VOLUME/SNAPSHOT.
  const volumes = await lxd.get(
    ctx,
    `${poolPath(pool)}?recursion=1&project=${encodeURIComponent(project)}`,
    z.array(volumeSchema).nullable(),
  );
  return (volumes ?? []).filter(({ name }) => !name.includes("/"));
}

/** Makes what is missing, grows what is too small. Attaching is the instance's business. */
export async function volumesEnsure(ctx: CallContext, lxd: LxdConnection, spec: MachineSpec, pool: string): Promise<void> {
  for (const wished of spec.volumes) await volumeEnsure(ctx, lxd, spec, pool, wished);
}

async function volumeEnsure(ctx: CallContext, lxd: LxdConnection, spec: MachineSpec, pool: string, wished: VolumeSpec): Promise<void> {
  const name = volumeSource(spec.name, wished.name);
  const found = await volumeFind(ctx, lxd, pool, name);
  const size = `${wished.sizeMiB}MiB`;
  if (found === null) {
    const config = { size, ...ownerConfig(spec.owner) };
    // `conflict` when another caller was faster: the machine's next round looks again.
    await lxd.perform(ctx, "POST", poolPath(pool), {
      body: { name, type: "custom", content_type: "filesystem", description: `volume ${wished.name} of ${spec.name}`, config },
    });
    return;
  }
  if (!sameOwner(configOwner(found.config ?? {}), spec.owner)) throw notOurs(name);
  if (sizeMiB(found.config?.["size"]) >= wished.sizeMiB) return;
  await lxd.perform(ctx, "PATCH", volumePath(pool, name), { body: { description: found.description ?? "", config: { size } } });
}

/** Sizes of the volumes attached to one instance. A device whose volume is gone is left out. */
export async function instanceVolumeSizes(ctx: CallContext, lxd: LxdConnection, instance: Instance): Promise<VolumeSizes> {
  const found = await Promise.all(
    volumeDevices(instance).map(async ({ pool, source }): Promise<[string, number][]> => {
      const volume = await volumeFind(ctx, lxd, pool, source);
      return volume === null ? [] : [[volumeKey(instance, pool, source), sizeMiB(volume.config?.["size"])]];
    }),
  );
  return new Map(found.flat());
}

/** Sizes of all volumes that these instances use: one request for each pool of each project. */
export async function allVolumeSizes(ctx: CallContext, lxd: LxdConnection, instances: readonly Instance[]): Promise<VolumeSizes> {
  const sizes = new Map<string, number>();
  const listed = new Set<string>();
  for (const instance of instances) {
    for (const { pool } of volumeDevices(instance)) {
      const list = volumeKey(instance, pool, "");
      if (listed.has(list)) continue;
      listed.add(list);
      for (const { name, config } of await volumeList(ctx, lxd, pool, instanceProject(instance))) {
        sizes.set(volumeKey(instance, pool, name), sizeMiB(config?.["size"]));
      }
    }
  }
  return sizes;
}

export function volumeSnapshotPath(pool: string, volume: string): string {
  return `${volumePath(pool, volume)}/snapshots`;
}

/** Names of a volume's snapshots, anybody's; none when the volume is missing. */
export async function volumeSnapshots(ctx: CallContext, lxd: LxdConnection, pool: string, volume: string): Promise<string[]> {
  const paths = await orNull(lxd.get(ctx, volumeSnapshotPath(pool, volume), z.array(z.string()).nullable()));
  return (paths ?? []).map((path) => decodeURIComponent(path.split("?")[0]?.split("/").at(-1) ?? ""));
}

/** Every volume with the machine's mark, attached or not. */
export async function machineVolumes(ctx: CallContext, lxd: LxdConnection, owner: OwnerMark, pool: string): Promise<string[]> {
  return (await volumeList(ctx, lxd, pool)).filter(({ config }) => sameOwner(configOwner(config ?? {}), owner)).map(({ name }) => name);
}

/** Removes every volume with the machine's mark, with its snapshots. The instance must be gone: LXD keeps what is in use. */
export async function volumesRemove(ctx: CallContext, lxd: LxdConnection, owner: OwnerMark, pool: string): Promise<void> {
  for (let round = 1; ; round++) {
    const ours = await machineVolumes(ctx, lxd, owner, pool);
    if (ours.length === 0) return;
    try {
      for (const name of ours) await orNull(lxd.perform(ctx, "DELETE", volumePath(pool, name)));
    } catch (error) {
      // Another caller removes them at the same moment: the next look tells.
      if (ctx.signal.aborted || isAppError(error, "endpoint_unreachable") || round === volumeRemoveRounds) throw error;
    }
  }
}
