/**
 * Machines as LXD instances. The fixed name fences concurrent creators: LXD's database lets one of them win, and the loser waits for
 * the winner's work before it looks again. Nothing is touched before the mark on the object was compared with ours.
 */
import { z } from "zod";
import type { CallContext } from "#domain/context.ts";
import { AppError, isAppError } from "#domain/error.ts";
import { sameOwner } from "#domain/owner.ts";
import type { MachineFacts, MachineRef, MachineSpec } from "#provider/contract.ts";
import { parseMetadata, type LxdConnection } from "./connection.ts";
import { orNull } from "./image.ts";
import { instanceDrift, instanceFacts, instanceOwner, instanceSchema, instanceWish, notOurs, type Instance } from "./instance.ts";

/**
 * How often a call looks again after it met another caller or LXD's own clean-up (which holds the instance for some 100 ms after a
 * container died), and how long it pauses between. In all about 3 s: what takes longer is the caller's to repeat.
 */
const roundLimit = 20;
const roundPauseMs = 150;
/** LXD's own limit for starting and for stopping by force. */
const stateTimeoutSeconds = 30;

interface Found {
  readonly instance: Instance;
  readonly etag: string | undefined;
}

function pathOf(name: string): string {
  return `/1.0/instances/${encodeURIComponent(name)}`;
}

/** Null when missing; throws `not_ours` when the name is taken. */
async function instanceFind(ctx: CallContext, lxd: LxdConnection, ref: MachineRef): Promise<Found | null> {
  const answer = await orNull(lxd.request(ctx, "GET", pathOf(ref.name)));
  if (answer === null) return null;
  const instance = parseMetadata(instanceSchema, answer.metadata, "instance");
  if (!sameOwner(instanceOwner(instance), ref.owner)) throw notOurs(ref.name);
  return { instance, etag: answer.etag };
}

export async function machineObserve(ctx: CallContext, lxd: LxdConnection, ref: MachineRef): Promise<MachineFacts | null> {
  const found = await instanceFind(ctx, lxd, ref);
  return found === null ? null : instanceFacts(found.instance);
}

/** For everything that needs an existing machine: throws `not_found`. */
export async function machineFacts(ctx: CallContext, lxd: LxdConnection, ref: MachineRef): Promise<MachineFacts> {
  const facts = await machineObserve(ctx, lxd, ref);
  if (facts === null) throw new AppError("not_found", `There is no machine ${ref.name} at the endpoint`);
  return facts;
}

export async function machineList(ctx: CallContext, lxd: LxdConnection): Promise<MachineFacts[]> {
  const instances = await lxd.get(ctx, "/1.0/instances?recursion=1", z.array(instanceSchema).nullable());
  return (instances ?? []).map(instanceFacts);
}

export async function machineEnsure(ctx: CallContext, lxd: LxdConnection, spec: MachineSpec, pool: string): Promise<MachineFacts> {
  if (spec.kind !== "container") throw new AppError("capability_missing", "This endpoint realises containers only");
  const wish = instanceWish(spec, pool);
  return await untilDone(ctx, lxd, spec.name, async () => {
    const found = await instanceFind(ctx, lxd, spec);
    if (found === null) {
      await instanceCreate(ctx, lxd, spec, wish);
      return again;
    }
    // The record is visible before the file system is complete: whoever creates it must be done before we change or report it.
    await lxd.settle(ctx, spec.name, /creat/i);
    const body = instanceDrift(found.instance, wish);
    if (body !== null) {
      const headers = found.etag === undefined ? {} : { "if-match": found.etag };
      await orNull(lxd.perform(ctx, "PUT", pathOf(spec.name), { body, headers }));
      return again;
    }
    return (await machineObserve(ctx, lxd, spec)) ?? again;
  });
}

/** What a round returns that changed something or lost its object: the next one looks whether all is as wished now. */
const again = Symbol("again");

/** Errors that can mean that another caller was faster, or that LXD still tidies up; the next look tells. */
function metAnother(error: unknown): boolean {
  return isAppError(error, "conflict") || isAppError(error, "endpoint_busy");
}

/** Repeats `round` until it returns something, and throws what it last failed with when the rounds are used up. */
async function untilDone<T>(
  ctx: CallContext,
  lxd: LxdConnection,
  name: string,
  round: () => Promise<T | typeof again>,
  tolerated: (error: unknown) => boolean = metAnother,
): Promise<T> {
  let lastError: unknown = new AppError("endpoint_busy", "The machine is being changed by somebody else");
  for (let n = 0; n < roundLimit; n++) {
    try {
      const result = await round();
      if (result !== again) return result;
    } catch (error) {
      if (ctx.signal.aborted || !tolerated(error)) throw error;
      lastError = error;
      await lxd.settle(ctx, name, /./);
      await ctx.clock.sleep(roundPauseMs, ctx.signal);
    }
  }
  throw lastError;
}

async function instanceCreate(ctx: CallContext, lxd: LxdConnection, spec: MachineSpec, wish: object): Promise<void> {
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

async function stateChange(ctx: CallContext, lxd: LxdConnection, name: string, body: object): Promise<void> {
  await lxd.perform(ctx, "PUT", `${pathOf(name)}/state`, { body });
}

export async function machineStart(ctx: CallContext, lxd: LxdConnection, ref: MachineRef): Promise<MachineFacts> {
  return await untilDone(ctx, lxd, ref.name, async () => {
    const facts = await machineFacts(ctx, lxd, ref);
    if (facts.power === "running") return facts;
    const action = facts.power === "paused" ? "unfreeze" : "start";
    await stateChange(ctx, lxd, ref.name, { action, timeout: stateTimeoutSeconds, force: false });
    return again;
  });
}

export async function machineStop(ctx: CallContext, lxd: LxdConnection, ref: MachineRef, graceMs: number): Promise<void> {
  const before = await machineObserve(ctx, lxd, ref);
  if (before === null || before.power === "stopped") return;
  if (graceMs > 0 && before.power === "running") {
    try {
      await stateChange(ctx, lxd, ref.name, { action: "stop", timeout: Math.max(1, Math.ceil(graceMs / 1000)), force: false });
      return;
    } catch (error) {
      if (ctx.signal.aborted || isAppError(error, "endpoint_unreachable")) throw error;
      ctx.log.info({ machine: ref.name }, "the guest did not stop by itself, forcing it");
    }
  }
  await stopByForce(ctx, lxd, ref);
}

/** A refusal can mean that it is already stopped, being stopped by somebody else, or gone: the next look tells. */
function mayBeDone(error: unknown): boolean {
  return !isAppError(error, "endpoint_unreachable") && !isAppError(error, "not_ours") && error instanceof AppError;
}

async function stopByForce(ctx: CallContext, lxd: LxdConnection, ref: MachineRef): Promise<void> {
  const round = async () => {
    const facts = await machineObserve(ctx, lxd, ref);
    if (facts === null || facts.power === "stopped") return true;
    await stateChange(ctx, lxd, ref.name, { action: "stop", timeout: stateTimeoutSeconds, force: true });
    return again;
  };
  await untilDone(ctx, lxd, ref.name, round, mayBeDone);
}

export async function machineRemove(ctx: CallContext, lxd: LxdConnection, ref: MachineRef): Promise<void> {
  const round = async () => {
    const facts = await machineObserve(ctx, lxd, ref);
    if (facts === null) return true;
    await lxd.settle(ctx, ref.name, /creat/i);
    if (facts.power !== "stopped") await stopByForce(ctx, lxd, ref);
    await lxd.perform(ctx, "DELETE", pathOf(ref.name));
    return again;
  };
  await untilDone(ctx, lxd, ref.name, round, mayBeDone);
}
