/**
 * The only way to make an export of `app/`: policy is asked before the body runs, there is no path around it. Refusals are audited
 * here; what was permitted is audited with the change itself (`write`).
 */
import { AppError } from "#domain/error.ts";
import type { AppContext, DecidedContext } from "#app/context.ts";
import type { Action, Resource } from "#app/policy.ts";
import { auditInsert } from "#store/audit.ts";
import { isTransientDatabaseError, transact, type Tx } from "#store/database.ts";

/** The resource, for `process.run` the process, and for `vapp.tunnel` the port. */
type Subject = Resource & { readonly process?: string; readonly port?: number };

interface UseCase<I> {
  readonly action: Action;
  /** What policy judges; may read the database. Throws `not_found` when there is no such thing. */
  readonly resource: (ctx: AppContext, input: I) => Subject | Promise<Subject>;
}

export function useCase<I, O>(
  definition: UseCase<I>,
  body: (ctx: DecidedContext, input: I) => Promise<O>,
): (ctx: AppContext, input: I) => Promise<O> {
  return async (ctx, input) => {
    try {
      const subject = await definition.resource(ctx, input);
      return await body(await decide(ctx, definition.action, subject, subject.process, subject.port), input);
    } catch (cause) {
      if (isTransientDatabaseError(cause)) throw new AppError("unavailable", "the database does not answer; try again", { cause });
      throw cause;
    }
  };
}

/** Asks policy; a refusal is written to the audit table and thrown as `forbidden`. */
export async function decide(ctx: AppContext, action: Action, resource: Resource, process = "", port = 0): Promise<DecidedContext> {
  const decision = ctx.platform.policy.decide(ctx.actor, action, resource, process, port);
  if (decision.decision === "permit") return { ...ctx, decision };
  await auditInsert(ctx.platform.database, auditRow(ctx, action, resource, decision, { process, ...(port === 0 ? {} : { port }) }));
  const about = port === 0 ? process : `port ${port}`;
  const what = about === "" ? action : `${action} (${about})`;
  throw new AppError("forbidden", `${ctx.actor.name} may not do ${what} here`, {
    detail: [
      {
        constraint: `${what} on ${resource.kind.toLowerCase()} ${resource.id} needs a permitting policy`,
        source: decision.reason,
        nearest: "ask an admin of the organization for a role that allows it",
      },
    ],
  });
}

/** One transaction of a use case: no decision, no write. Repeated as a whole on infrastructure errors, for at most ten seconds. */
export function write<T>(ctx: AppContext, body: (tx: Tx) => Promise<T>): Promise<T> {
  if (!("decision" in ctx)) throw new Error("store write without a policy decision");
  return transact(ctx.platform.database, { clock: ctx.clock, log: ctx.log, signal: ctx.signal, limitMs: 10_000 }, async (tx) => {
    const result = await body(tx);
    await ctx.committing?.(tx);
    return result;
  });
}

/** The audit row of a permitted change; insert it in the change's own transaction. */
export function auditOf(ctx: DecidedContext, data: object): Parameters<typeof auditInsert>[1] {
  const { action, resource } = ctx.decision;
  return auditRow(ctx, action, resource, ctx.decision, data);
}

function auditRow(ctx: AppContext, action: string, resource: Resource, decision: { decision: string; reason: string }, data: object) {
  return {
    organizationId: ctx.actor.organizationId,
    principalId: ctx.actor.principalId,
    action,
    resource: `${resource.kind}:${resource.id}`,
    decision: decision.decision,
    reason: decision.reason,
    requestId: ctx.requestId,
    data,
  };
}
