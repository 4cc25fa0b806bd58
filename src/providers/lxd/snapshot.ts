/**
 * Snapshots: one of the instance (its root file system) and one of each attached data volume, all of the same moment. LXD takes each
 * atomically, but not together, so a running machine with volumes is paused for the time between. The instance's snapshot is made
 * last and removed first: where it exists, the others do. Those of volumes are named SNAPSHOT.ATTEMPT (hold.ts).
 */
import { randomBytes } from "node:crypto";
import { z } from "zod";
import type { CallContext } from "#domain/context.ts";
import { AppError } from "#domain/error.ts";
import type { MachineRef, SnapshotFacts } from "#provider/contract.ts";
import type { LxdConnection } from "./connection.ts";
import { holdClear, holdOf, holdSet, type Hold } from "./hold.ts";
import { orNull } from "./image.ts";
import { instancePower, notOurs, ourVolumeDevices, stringMap, type Instance } from "./instance.ts";
import { again, instanceFind, instanceGet, instancePath, stateChange, untilDone, type Found } from "./rounds.ts";
import { machineVolumes, volumeSnapshots, volumeSnapshotPath } from "./volume.ts";

const snapshotSchema = z.object({
  name: z.string(),
  created_at: z.string(),
  config: stringMap,
  expanded_devices: z.record(z.string(), stringMap),
});
export type Snapshot = z.output<typeof snapshotSchema>;

/** Which snapshot of which machine, and the pool of its volumes. */
export interface SnapshotRef {
  readonly ref: MachineRef;
  readonly name: string;
  readonly pool: string;
}

export function snapshotPath(machine: string, name: string): string {
  return `${instancePath(machine)}/snapshots/${encodeURIComponent(name)}`;
}

/** Ours or somebody's; null when missing. */
async function snapshotFind(ctx: CallContext, lxd: LxdConnection, machine: string, name: string): Promise<Snapshot | null> {
  return await orNull(lxd.get(ctx, snapshotPath(machine, name), snapshotSchema));
}

/** The note of a snapshot of ours; null for a snapshot that somebody else made of our machine. */
export function snapshotHold(snapshot: Snapshot): Hold | null {
  const hold = holdOf(snapshot);
  return hold?.name === snapshot.name ? hold : null;
}

export async function snapshotGet(
  ctx: CallContext,
  lxd: LxdConnection,
  ref: MachineRef,
  name: string,
): Promise<{ snapshot: Snapshot; hold: Hold }> {
  const snapshot = await snapshotFind(ctx, lxd, ref.name, name);
  const hold = snapshot === null ? null : snapshotHold(snapshot);
  if (snapshot === null || hold === null) throw new AppError("not_found", `The machine ${ref.name} has no snapshot ${name}`);
  return { snapshot, hold };
}

export async function snapshotEnsure(ctx: CallContext, lxd: LxdConnection, wanted: SnapshotRef): Promise<SnapshotFacts> {
  const { ref, name } = wanted;
  return await untilDone(ctx, lxd, ref.name, async () => {
    const found = await instanceGet(ctx, lxd, ref);
    const present = await snapshotFind(ctx, lxd, ref.name, name);
    if (present === null) {
      await snapshotAdvance(ctx, lxd, wanted, found);
      return again;
    }
    if (snapshotHold(present) === null) throw notOurs(`${ref.name}/${name}`);
    if (await holdRelease(ctx, lxd, wanted, found)) return again;
    return snapshotFacts(present);
  });
}

/** One step towards a snapshot that is not there yet. */
async function snapshotAdvance(ctx: CallContext, lxd: LxdConnection, { ref, name }: SnapshotRef, found: Found): Promise<void> {
  const { instance } = found;
  const volumes = ourVolumeDevices(instance);
  const power = instancePower(instance);
  // Starting or stopping: whether to pause it shows in a moment.
  if (power === "unknown") throw new AppError("endpoint_busy", `The machine ${ref.name} is between two states`);
  const running = power === "running";
  const pauseNeeded = running && volumes.length > 0;
  const hold = holdOf(instance);
  const valid = hold?.name === name && !(pauseNeeded && !hold.resume);
  if (!valid) return await holdSet(ctx, lxd, found, holdNew(name, instance, pauseNeeded));

  const taken = await Promise.all(volumes.map(({ pool, source }) => volumeSnapshots(ctx, lxd, pool, source)));
  const volumeSnapshot = volumeSnapshotName(hold);
  if (pauseNeeded) {
    // It ran on after some volumes were taken: they would show an older moment than the rest.
    if (taken.flat().includes(volumeSnapshot)) return await holdSet(ctx, lxd, found, holdNew(name, instance, true));
    return await stateChange(ctx, lxd, ref.name, "freeze");
  }
  for (const [index, { pool, source }] of volumes.entries()) {
    if (taken[index]?.includes(volumeSnapshot) === true) continue;
    await lxd.perform(ctx, "POST", volumeSnapshotPath(pool, source), { body: { name: volumeSnapshot } });
  }
  await lxd.perform(ctx, "POST", `${instancePath(ref.name)}/snapshots`, { body: { name, stateful: false } });
}

/** A note of an earlier, unfinished snapshot is replaced, but its duty to resume the machine stays. */
function holdNew(name: string, instance: Instance, pauseNeeded: boolean): Hold {
  const inherited = instancePower(instance) === "paused" && holdOf(instance)?.resume === true;
  return { name, id: randomBytes(4).toString("hex"), resume: pauseNeeded || inherited };
}

function volumeSnapshotName({ name, id }: Hold): string {
  return `${name}.${id}`;
}

/** What a snapshot leaves to do when it is made or given up: stale volume snapshots, the pause, the note. False when nothing was left. */
async function holdRelease(ctx: CallContext, lxd: LxdConnection, wanted: SnapshotRef, found: Found): Promise<boolean> {
  const { ref, name } = wanted;
  const hold = holdOf(found.instance);
  if (hold?.name !== name) return false;
  await volumeSnapshotsRemove(ctx, lxd, wanted, (await snapshotFind(ctx, lxd, ref.name, name)) === null ? null : hold);
  // The note goes last: without it nobody would know that the pause is ours.
  if (hold.resume && instancePower(found.instance) === "paused") {
    await stateChange(ctx, lxd, ref.name, "unfreeze");
    return true;
  }
  return await holdClear(ctx, lxd, found);
}

/** Removes the snapshots of this name from all volumes of the machine, but for those of the attempt `keep`. */
async function volumeSnapshotsRemove(ctx: CallContext, lxd: LxdConnection, wanted: SnapshotRef, keep: Hold | null): Promise<void> {
  const { ref, name, pool } = wanted;
  const kept = keep === null ? null : volumeSnapshotName(keep);
  for (const volume of await machineVolumes(ctx, lxd, ref.owner, pool)) {
    for (const snapshot of await volumeSnapshots(ctx, lxd, pool, volume)) {
      if (!snapshot.startsWith(`${name}.`) || snapshot === kept) continue;
      await orNull(lxd.perform(ctx, "DELETE", `${volumeSnapshotPath(pool, volume)}/${encodeURIComponent(snapshot)}`));
    }
  }
}

export async function snapshotRemove(ctx: CallContext, lxd: LxdConnection, wanted: SnapshotRef): Promise<void> {
  const { ref, name } = wanted;
  await untilDone(ctx, lxd, ref.name, async () => {
    const found = await instanceFind(ctx, lxd, ref);
    if (found === null) return true;
    const present = await snapshotFind(ctx, lxd, ref.name, name);
    if (present !== null && snapshotHold(present) !== null) {
      await orNull(lxd.perform(ctx, "DELETE", snapshotPath(ref.name, name)));
      return again;
    }
    await volumeSnapshotsRemove(ctx, lxd, wanted, null);
    return (await holdRelease(ctx, lxd, wanted, found)) ? again : true;
  });
}

export async function snapshotList(ctx: CallContext, lxd: LxdConnection, ref: MachineRef): Promise<SnapshotFacts[]> {
  await instanceGet(ctx, lxd, ref);
  const path = `${instancePath(ref.name)}/snapshots?recursion=1`;
  const snapshots = (await lxd.get(ctx, path, z.array(snapshotSchema).nullable())) ?? [];
  return snapshots
    .filter((snapshot) => snapshotHold(snapshot) !== null)
    .map(snapshotFacts)
    .toSorted((a, b) => a.createdAt.localeCompare(b.createdAt));
}

function snapshotFacts({ name, created_at }: Snapshot): SnapshotFacts {
  return { name, createdAt: new Date(created_at).toISOString() };
}
