/**
 * Machines as LXD instances. The fixed name fences concurrent creators: LXD's database lets one of them win, and the loser waits for
 * the winner's work before it looks again. Nothing is touched before the mark on the object was compared with ours.
 */
import { z } from "zod";
import type { CallContext } from "#domain/context.ts";
import { AppError, isAppError } from "#domain/error.ts";
import type { MachineFacts, MachineRef, MachineSpec } from "#provider/contract.ts";
import type { LxdConnection } from "./connection.ts";
import {
  instanceDrift,
  instanceFacts,
  instancePower,
  instanceSchema,
  instanceWish,
  wishKeepingLimits,
  wishWithoutVolumes,
  type InstanceWish,
} from "./instance.ts";
import { stopByForce } from "./power.ts";
import { again, instanceFind, instancePath, instancePut, mayBeDone, untilDone, type Found } from "./rounds.ts";
import { allVolumeSizes, instanceVolumeSizes, volumesEnsure, volumesRemove } from "./volume.ts";

/** Where an image's template puts the NICs' addresses when the container starts (images/README.md). */
const guestNetworkFile = "/etc/stratiform/network";

export async function machineObserve(ctx: CallContext, lxd: LxdConnection, ref: MachineRef): Promise<MachineFacts | null> {
  const found = await instanceFind(ctx, lxd, ref);
  return found === null ? null : instanceFacts(found.instance, await instanceVolumeSizes(ctx, lxd, found.instance));
}

export async function machineList(ctx: CallContext, lxd: LxdConnection): Promise<MachineFacts[]> {
  const instances = (await lxd.get(ctx, "/1.0/instances?recursion=1", z.array(instanceSchema).nullable())) ?? [];
  const sizes = await allVolumeSizes(ctx, lxd, instances);
  return instances.map((instance) => instanceFacts(instance, sizes));
}

export async function machineEnsure(ctx: CallContext, lxd: LxdConnection, spec: MachineSpec, pool: string): Promise<MachineFacts> {
  if (spec.kind !== "container") throw new AppError("capability_missing", "This endpoint realises containers only");
  const wish = instanceWish(spec, pool);
  let limitsRefused = false;
  return await untilDone(ctx, lxd, spec.name, async () => {
    const found = await instanceFind(ctx, lxd, spec);
    if (found === null) {
      await instanceCreate(ctx, lxd, spec, wishWithoutVolumes(wish));
      return again;
    }
    // The record is visible before the file system is complete: whoever creates it must be done before we change or report it.
    await lxd.settle(ctx, spec.name, /creat/i);
    await volumesEnsure(ctx, lxd, spec, pool);
    const body = instanceDrift(found.instance, limitsRefused ? wishKeepingLimits(wish, found.instance) : wish);
    if (body !== null) {
      const outcome = await definitionSync(ctx, lxd, found, wish, body);
      limitsRefused ||= outcome === "limits refused";
      return again;
    }
    if (instancePower(found.instance) === "running") await guestNetworkSync(ctx, lxd, spec, wish);
    return (await machineObserve(ctx, lxd, spec)) ?? again;
  });
}

/**
 * LXD takes a definition whole or not at all, and a running container may use more memory than it is to have. Then everything else
 * is still synced, and the facts show the limits that it kept.
 */
async function definitionSync(
  ctx: CallContext,
  lxd: LxdConnection,
  found: Found,
  wish: InstanceWish,
  body: object,
): Promise<"done" | "limits refused"> {
  try {
    await instancePut(ctx, lxd, found, body);
    return "done";
  } catch (error) {
    const limitsDiffer = Object.entries(wishKeepingLimits(wish, found.instance).config).some(([key, value]) => wish.config[key] !== value);
    if (!isAppError(error, "endpoint_refused") || instancePower(found.instance) === "stopped" || !limitsDiffer) throw error;
    ctx.log.info({ machine: found.instance.name, error }, "the running machine does not take the new limits");
    return "limits refused";
  }
}

/**
 * LXD renders the templates at start only, so a NIC that came since then has no address in the guest's file. We write what LXD would;
 * the guest configures it at the next `apply`. Images without that file have ways of their own and are left alone.
 */
async function guestNetworkSync(ctx: CallContext, lxd: LxdConnection, spec: MachineSpec, wish: InstanceWish): Promise<void> {
  const wished = `${wish.config["user.stratiform.network"]}\n`;
  const present = await lxd.fileRead(ctx, spec.name, guestNetworkFile);
  if (present === null || present.trimEnd() === wished.trimEnd()) return;
  await lxd.fileWrite(ctx, spec.name, guestNetworkFile, wished);
}

async function instanceCreate(ctx: CallContext, lxd: LxdConnection, spec: MachineSpec, wish: InstanceWish): Promise<void> {
  await lxd.perform(ctx, "POST", "/1.0/instances", {
    body: {
      name: spec.name,
      type: "container",
      source: { type: "image", fingerprint: spec.image.digest },
      profiles: [],
      ephemeral: false,
      ...wish,
    },
  });
}

export async function machineRemove(ctx: CallContext, lxd: LxdConnection, ref: MachineRef, pool: string): Promise<void> {
  const round = async () => {
    const found = await instanceFind(ctx, lxd, ref);
    if (found === null) return true;
    await lxd.settle(ctx, ref.name, /creat/i);
    if (instancePower(found.instance) !== "stopped") await stopByForce(ctx, lxd, ref);
    await lxd.perform(ctx, "DELETE", instancePath(ref.name));
    return again;
  };
  await untilDone(ctx, lxd, ref.name, round, mayBeDone);
  // Also when the instance was missing: a call that was killed after removing it has left them.
  await volumesRemove(ctx, lxd, ref.owner, pool);
}
