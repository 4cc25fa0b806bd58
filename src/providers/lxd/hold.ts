/**
 * A snapshot under way is written into the instance (`user.stratiform.snapshot`) before anything is done for it. The note says which
 * volume snapshots belong to the moment of this instance snapshot, and whether the machine was paused for it: so whoever repeats a
 * call that was killed finishes it and resumes the machine, but never resumes one that its owner paused. LXD copies the
 * configuration into the instance snapshot, and with it the note: it marks the snapshot as ours.
 */
import type { CallContext } from "#domain/context.ts";
import type { LxdConnection } from "./connection.ts";
import { instanceBody, type Instance } from "./instance.ts";
import { instancePut, type Found } from "./rounds.ts";

export const holdKey = "user.stratiform.snapshot";

export interface Hold {
  /** Name of the snapshot. */
  readonly name: string;
  /** Of this attempt; volume snapshots of other attempts show another moment. */
  readonly id: string;
  /** The machine ran and is paused for this snapshot only. */
  readonly resume: boolean;
}

/** Null without a note, and for one that is not of our form. */
export function holdOf({ config }: Pick<Instance, "config">): Hold | null {
  const match = /^([a-z][a-z0-9-]*) ([0-9a-f]+) (resume|leave)$/.exec(config[holdKey] ?? "");
  const [, name, id, after] = match ?? [];
  return name === undefined || id === undefined ? null : { name, id, resume: after === "resume" };
}

/** `conflict` when somebody changed the instance since it was read. */
export async function holdSet(ctx: CallContext, lxd: LxdConnection, found: Found, hold: Hold): Promise<void> {
  const config = { ...found.instance.config, [holdKey]: `${hold.name} ${hold.id} ${hold.resume ? "resume" : "leave"}` };
  await instancePut(ctx, lxd, found, instanceBody(found.instance, { config }));
}

/** False when there was nothing to clear. */
export async function holdClear(ctx: CallContext, lxd: LxdConnection, found: Found): Promise<boolean> {
  const { [holdKey]: hold, ...config } = found.instance.config;
  if (hold === undefined) return false;
  await instancePut(ctx, lxd, found, instanceBody(found.instance, { config }));
  return true;
}
