/**
 * Idempotency-Key: a request that is repeated with its key is carried out once and answered the same. `app/request.ts` has the table's
 * rules; here they meet HTTP. A crash in between is safe: the change confirms the key inside its own transaction, so either nothing
 * was committed and a repetition does it, or it was and a repetition finds it.
 */
import { createHash } from "node:crypto";
import type { Log } from "#domain/context.ts";
import { AppError, isAppError } from "#domain/error.ts";
import { hashInput } from "#domain/json.ts";
import type { AppContext, Platform } from "#app/context.ts";
import { claimKey, confirmKey, releaseKey, renewKeys, requestTimes, settleKey, type KeyOwner } from "#app/request.ts";
import { apiLimits } from "#api/limits.ts";
import type { Answer, Operation, Request } from "#api/operation.ts";
import { problemOf, problemStatus } from "#api/problem.ts";

/** An answer with its status: fresh from the handler, or the stored one of an earlier request. */
export interface Outcome {
  readonly status: number;
  readonly body: unknown;
  readonly headers: Readonly<Record<string, string>>;
  readonly isProblem: boolean;
}

interface Stored {
  readonly body: unknown;
  readonly headers: Readonly<Record<string, string>>;
  readonly isProblem: boolean;
}

const keyPattern = new RegExp(`^[!-~]{1,${apiLimits.idempotencyKeyLength}}$`);

export class OnceOnly {
  readonly #platform: Platform;
  readonly #attempts = new Set<string>();
  readonly #timer: NodeJS.Timeout;

  constructor(platform: Platform, log: Log) {
    this.#platform = platform;
    const renew = () =>
      renewKeys(platform, [...this.#attempts]).catch((error: unknown) =>
        log.warn({ error: String(error) }, "idempotency keys were not renewed"),
      );
    this.#timer = setInterval(() => void renew(), requestTimes.renewMs);
    this.#timer.unref();
  }

  close(): void {
    clearInterval(this.#timer);
  }

  async run(
    ctx: AppContext,
    operation: Operation,
    key: string,
    path: string,
    request: Request<string, unknown, unknown>,
  ): Promise<Outcome> {
    if (!keyPattern.test(key)) throw badKey();
    const owner: KeyOwner = { principalId: ctx.actor.principalId, key, attempt: ctx.requestId };
    const hash = createHash("sha256")
      .update(hashInput("request", { method: operation.method, path, query: request.query, body: request.body }))
      .digest("hex");
    const claim = await claimKey(ctx, owner, hash);
    if (claim.type === "answered") return replay(operation, claim.status, claim.response);
    // What has no transaction cannot be told from what never began: a command may have run.
    if (claim.type !== "ours" && operation.keyed === "secret") throw alreadyDone();
    this.#attempts.add(owner.attempt);
    try {
      const answer = claim.type === "committed" ? ((await operation.recover?.(ctx, claim.requestId)) ?? null) : null;
      // What is not recovered is safe to do again: publishing the same document, cancelling a run, looking at an endpoint.
      const fresh = answer ?? (await operation.handle({ ...ctx, committing: confirmKey(owner) }, request));
      return await this.#settle(owner, operation, outcomeOf(operation, fresh));
    } catch (error) {
      await this.#failed(ctx, owner, operation, error);
      throw error;
    } finally {
      this.#attempts.delete(owner.attempt);
    }
  }

  async #settle(owner: KeyOwner, operation: Operation, outcome: Outcome): Promise<Outcome> {
    const { status, ...stored } = outcome;
    await settleKey(this.#platform, owner, status, operation.keyed === "secret" ? null : stored);
    return outcome;
  }

  /** A final refusal is an answer and is kept; after anything else the request may be tried again. */
  async #failed(ctx: AppContext, owner: KeyOwner, operation: Operation, error: unknown): Promise<void> {
    const isFinal = isAppError(error) && !error.retryable && problemStatus[error.code] < 500;
    // What has no transaction may have happened although its answer was lost.
    if (operation.keyed === "secret" && !isFinal && !neverBegan(error))
      return settleKey(this.#platform, owner, problemStatus.conflict, null);
    if (!isFinal) return releaseKey(this.#platform, owner);
    const { status, ...body } = problemOf(error, ctx.requestId);
    await settleKey(this.#platform, owner, status, { body: { ...body, status }, headers: {}, isProblem: true } satisfies Stored);
  }
}

/** Errors that say so themselves: the guest is not ready for commands, or the database could not be asked. */
function neverBegan(error: unknown): boolean {
  return isAppError(error, "endpoint_busy") || isAppError(error, "unavailable");
}

export function outcomeOf(operation: Operation, answer: Answer<unknown>): Outcome {
  const headers = {
    ...(answer.location === undefined ? {} : { location: answer.location }),
    ...(answer.generation === undefined ? {} : { etag: `"${answer.generation}"` }),
  };
  return { status: operation.answer === undefined ? 204 : (operation.status ?? 200), body: answer.body, headers, isProblem: false };
}

function replay(operation: Operation, status: number, response: unknown): Outcome {
  if (operation.keyed === "secret" && response === null) throw alreadyDone();
  return { status, ...(response as Stored) };
}

function badKey(): AppError {
  const constraint = `an idempotency key has 1 to ${apiLimits.idempotencyKeyLength} visible ASCII characters`;
  return new AppError("invalid_input", constraint, { detail: [{ constraint, source: "Idempotency-Key header", nearest: "use a UUID" }] });
}

function alreadyDone(): AppError {
  return new AppError("conflict", "this was begun or carried out before, and its output is not kept", {
    detail: [{ constraint: "one key is carried out once", source: "Idempotency-Key header", nearest: "use a new key to do it again" }],
  });
}
