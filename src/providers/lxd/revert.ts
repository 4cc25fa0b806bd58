/** Bringing a snapshot back. */
import type { CallContext } from "#domain/context.ts";
import { AppError } from "#domain/error.ts";
import type { MachineRef } from "#provider/contract.ts";
import type { LxdConnection } from "./connection.ts";
import { holdKey } from "./hold.ts";
import { instanceBody, instancePower, ourVolumeDevices, type Instance } from "./instance.ts";
import { instanceGet, instancePath, instancePut, untilDone } from "./rounds.ts";
import { snapshotGet } from "./snapshot.ts";
import { volumePath } from "./volume.ts";

/**
 * LXD restores the definition along with the disk: limits, devices, addresses and even "it was running", so that a restarted daemon
 * would start it. All that is not the snapshot's business, so the definition of before is put back at once. A call that is killed
 * in between leaves the older definition; the mark is the same in both, and the next `machineEnsure` syncs it.
 */
export async function snapshotRevert(ctx: CallContext, lxd: LxdConnection, ref: MachineRef, name: string): Promise<void> {
  let before: Instance | null = null;
  const outcome = await untilDone(ctx, lxd, ref.name, async () => {
    const found = await instanceGet(ctx, lxd, ref);
    const power = instancePower(found.instance);
    if (power !== "stopped") return power;
    before ??= found.instance;
    const { snapshot, hold } = await snapshotGet(ctx, lxd, ref, name);
    for (const { pool, source } of ourVolumeDevices(snapshot)) {
      await lxd.perform(ctx, "PUT", volumePath(pool, source), { body: { restore: `${hold.name}.${hold.id}` } });
    }
    await lxd.perform(ctx, "PUT", instancePath(ref.name), { body: { restore: name } });
    const restored = await instanceGet(ctx, lxd, ref);
    await instancePut(ctx, lxd, restored, instanceBody(before, { config: configBefore(before, restored.instance) }));
    return "stopped" as const;
  });
  if (outcome === "stopped") return;
  throw new AppError("conflict", `The machine ${ref.name} is ${outcome}: only a stopped one can be reverted`);
}

/** How the files' owners are mapped belongs to the disk as it is now; everything else is as it was. */
function configBefore(before: Instance, restored: Instance): Record<string, string> {
  const ofDisk = (key: string) => /^volatile\.(idmap|last_state\.idmap)/.test(key);
  const entries: [string, string][] = [
    ...Object.entries(before.config).filter(([key]) => !ofDisk(key) && key !== holdKey),
    ...Object.entries(restored.config).filter(([key]) => ofDisk(key)),
    // Not as before: an interrupted revert may have left the snapshot's.
    ["volatile.last_state.power", "STOPPED"],
  ];
  return Object.fromEntries(entries);
}
