/** What is on the disks of a simulated machine: a few small files, and the snapshots of all of them. Pure: a machine in, a machine out. */
import { AppError } from "#domain/error.ts";
import type { SimFiles, SimMachine, SimSnapshot, SimVolume } from "#providers/sim/world.ts";

/** The simulated disks hold marks of tests, not data: every change of a machine is a journal line with all of them. */
export const diskLimits = { files: 32, fileBytes: 16_384, snapshots: 32 } as const;

/** Missing volumes are made empty, smaller ones grow; larger ones, and those nobody asks for any more, stay. */
export function volumesSynced(
  existing: readonly SimVolume[],
  wanted: readonly { readonly name: string; readonly sizeMiB: number }[],
): SimVolume[] {
  const grown = existing.map((volume) => {
    const sizeMiB = wanted.find(({ name }) => name === volume.name)?.sizeMiB ?? 0;
    return { ...volume, sizeMiB: Math.max(volume.sizeMiB, sizeMiB) };
  });
  const missing = wanted.filter(({ name }) => !existing.some((volume) => volume.name === name));
  return [...grown, ...missing.map(({ name, sizeMiB }) => ({ name, sizeMiB, files: {} }))];
}

/** Null when there is no such file. A volume's files are below /var/lib/stratiform/volumes/NAME. */
export function fileRead(machine: SimMachine, path: string): string | null {
  const files = volumeOf(machine, path)?.files ?? machine.files;
  return Object.hasOwn(files, path) ? (files[path] ?? null) : null;
}

/** Null when the disk is full or there is no such volume. */
export function fileWritten(machine: SimMachine, path: string, text: string): SimMachine | null {
  const volume = volumeOf(machine, path);
  if (volume === undefined && path.startsWith(volumesFolder)) return null;
  const old = volume?.files ?? machine.files;
  const files: SimFiles = { ...old, [path]: text };
  if (Object.keys(files).length > diskLimits.files || Buffer.byteLength(text) > diskLimits.fileBytes) return null;
  if (volume === undefined) return { ...machine, files };
  return { ...machine, volumes: machine.volumes.map((each) => (each === volume ? { ...each, files } : each)) };
}

export function snapshotTaken(machine: SimMachine, name: string, createdAt: string): SimMachine {
  if (machine.snapshots.length >= diskLimits.snapshots) {
    throw new AppError("endpoint_refused", `machine ${machine.name} has ${diskLimits.snapshots} snapshots, the most there may be`);
  }
  const { files, volumes } = machine;
  return { ...machine, snapshots: [...machine.snapshots, { name, createdAt, files, volumes }] };
}

/** Contents come back; volumes that grew since keep their size, and those that came later stay as they are. */
export function snapshotReverted(machine: SimMachine, { files, volumes }: SimSnapshot): SimMachine {
  const back = machine.volumes.map((volume) => {
    const old = volumes.find(({ name }) => name === volume.name);
    return old === undefined ? volume : { ...volume, files: old.files };
  });
  return { ...machine, files, volumes: back };
}

const volumesFolder = "/var/lib/stratiform/volumes/";

function volumeOf(machine: SimMachine, path: string): SimVolume | undefined {
  if (!path.startsWith(volumesFolder)) return undefined;
  const name = path.slice(volumesFolder.length).split("/")[0];
  return machine.volumes.find((volume) => volume.name === name);
}
