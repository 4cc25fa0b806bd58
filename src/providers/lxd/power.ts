/** Starting, stopping and pausing. */
import type { CallContext } from "#domain/context.ts";
import { AppError, isAppError } from "#domain/error.ts";
import type { MachineFacts, MachinePower, MachineRef } from "#provider/contract.ts";
import type { LxdConnection } from "./connection.ts";
import { holdClear } from "./hold.ts";
import { instanceFacts, instancePower } from "./instance.ts";
import { again, instanceFind, instanceGet, mayBeDone, stateChange, untilDone } from "./rounds.ts";
import { instanceVolumeSizes } from "./volume.ts";

export async function machineStart(ctx: CallContext, lxd: LxdConnection, ref: MachineRef): Promise<MachineFacts> {
  return await untilDone(ctx, lxd, ref.name, async () => {
    const found = await instanceGet(ctx, lxd, ref);
    const power = instancePower(found.instance);
    if (power === "running") return instanceFacts(found.instance, await instanceVolumeSizes(ctx, lxd, found.instance));
    if (await holdClear(ctx, lxd, found)) return again;
    await stateChange(ctx, lxd, ref.name, power === "paused" ? "unfreeze" : "start");
    return again;
  });
}

export async function machinePause(ctx: CallContext, lxd: LxdConnection, ref: MachineRef): Promise<MachineFacts> {
  const outcome = await untilDone<MachineFacts | MachinePower>(ctx, lxd, ref.name, async () => {
    const found = await instanceGet(ctx, lxd, ref);
    const power = instancePower(found.instance);
    if (power !== "running" && power !== "paused") return power;
    // A snapshot that was interrupted would resume the machine; now it is to stay paused.
    if (await holdClear(ctx, lxd, found)) return again;
    if (power === "paused") return instanceFacts(found.instance, await instanceVolumeSizes(ctx, lxd, found.instance));
    await stateChange(ctx, lxd, ref.name, "freeze");
    return again;
  });
  if (typeof outcome !== "string") return outcome;
  throw new AppError("conflict", `The machine ${ref.name} is ${outcome}: only a running one can be paused`);
}

export async function machineStop(ctx: CallContext, lxd: LxdConnection, ref: MachineRef, graceMs: number): Promise<void> {
  const before = await instanceFind(ctx, lxd, ref);
  if (before === null) return;
  const power = instancePower(before.instance);
  if (power === "stopped") return;
  if (graceMs > 0 && power === "running") {
    try {
      await stateChange(ctx, lxd, ref.name, "stop", { force: false, timeoutSeconds: Math.max(1, Math.ceil(graceMs / 1000)) });
      return;
    } catch (error) {
      if (ctx.signal.aborted || isAppError(error, "endpoint_unreachable")) throw error;
      ctx.log.info({ machine: ref.name }, "the guest did not stop by itself, forcing it");
    }
  }
  await stopByForce(ctx, lxd, ref);
}

export async function stopByForce(ctx: CallContext, lxd: LxdConnection, ref: MachineRef): Promise<void> {
  const round = async () => {
    const found = await instanceFind(ctx, lxd, ref);
    if (found === null || instancePower(found.instance) === "stopped") return true;
    await stateChange(ctx, lxd, ref.name, "stop", { force: true });
    return again;
  };
  await untilDone(ctx, lxd, ref.name, round, mayBeDone);
}
