/** Look, act, look again: how every call on an instance copes with other callers and with LXD's own clean-up. */
import type { CallContext } from "#domain/context.ts";
import { AppError, isAppError } from "#domain/error.ts";
import { sameOwner } from "#domain/owner.ts";
import type { MachineRef } from "#provider/contract.ts";
import { parseMetadata, type LxdConnection } from "./connection.ts";
import { orNull } from "./image.ts";
import { configOwner, instanceSchema, notOurs, type Instance } from "./instance.ts";

/**
 * How often a call looks again after it met another caller or LXD's own clean-up (which holds the instance for some 100 ms after a
 * container died), and how long it pauses between. In all about 3 s: what takes longer is the caller's to repeat.
 */
const roundLimit = 20;
const roundPauseMs = 150;

/** What a round returns that changed something or lost its object: the next one looks whether all is as wished now. */
export const again = Symbol("again");

/** Errors that can mean that another caller was faster, or that LXD still tidies up; the next look tells. */
function metAnother(error: unknown): boolean {
  return isAppError(error, "conflict") || isAppError(error, "endpoint_busy");
}

/** A refusal can mean that it is already stopped, being stopped by somebody else, or gone: the next look tells. */
export function mayBeDone(error: unknown): boolean {
  return error instanceof AppError && error.code !== "endpoint_unreachable" && error.code !== "not_ours";
}

/** Repeats `round` until it returns something, and throws what it last failed with when the rounds are used up. */
export async function untilDone<T>(
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

export interface Found {
  readonly instance: Instance;
  readonly etag: string | undefined;
}

export function instancePath(name: string): string {
  return `/1.0/instances/${encodeURIComponent(name)}`;
}

/** Null when missing; throws `not_ours` when the name is taken. */
export async function instanceFind(ctx: CallContext, lxd: LxdConnection, ref: MachineRef): Promise<Found | null> {
  const answer = await orNull(lxd.request(ctx, "GET", instancePath(ref.name)));
  if (answer === null) return null;
  const instance = parseMetadata(instanceSchema, answer.metadata, "instance");
  if (!sameOwner(configOwner(instance.config), ref.owner)) throw notOurs(ref.name);
  return { instance, etag: answer.etag };
}

/** For everything that needs an existing machine: throws `not_found`. */
export async function instanceGet(ctx: CallContext, lxd: LxdConnection, ref: MachineRef): Promise<Found> {
  const found = await instanceFind(ctx, lxd, ref);
  if (found === null) throw new AppError("not_found", `There is no machine ${ref.name} at the endpoint`);
  return found;
}

/** Replaces the definition if nobody changed it since it was read: `conflict` otherwise. Succeeds when the instance is gone. */
export async function instancePut(ctx: CallContext, lxd: LxdConnection, { instance, etag }: Found, body: object): Promise<void> {
  const headers = etag === undefined ? {} : { "if-match": etag };
  await orNull(lxd.perform(ctx, "PUT", instancePath(instance.name), { body, headers }));
}

/** LXD's own limit for starting and for stopping by force. */
const stateTimeoutSeconds = 30;

/** `timeoutSeconds` is what LXD gives the guest. */
export async function stateChange(
  ctx: CallContext,
  lxd: LxdConnection,
  name: string,
  action: "start" | "stop" | "freeze" | "unfreeze",
  options: { readonly force: boolean; readonly timeoutSeconds?: number } = { force: false },
): Promise<void> {
  const body = { action, force: options.force, timeout: options.timeoutSeconds ?? stateTimeoutSeconds };
  await lxd.perform(ctx, "PUT", `${instancePath(name)}/state`, { body });
}
