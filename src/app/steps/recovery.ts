/** Standard kinds for machines that do not do what they should: bring one that hangs back to life, and prove that one is stopped. */
import { z } from "zod";
import { AppError, isAppError } from "#domain/error.ts";
import { formatId } from "#domain/id.ts";
import type { Json } from "#domain/json.ts";
import type { StepContext, StepKind } from "#process/contract.ts";
import type { Platform } from "#app/context.ts";
import { applyContext, waitHealthy } from "#app/steps/guest.ts";
import { observed, startMachine, stopMachine } from "#app/steps/machine.ts";
import { findMachine, machineRef, theMachine } from "#app/steps/realised.ts";
import { endpointById } from "#store/site.ts";

const machineInput = z.object({ machine: z.string() });
type MachineInput = z.infer<typeof machineInput>;

/** How long a guest that hangs may take to answer its configuration and its health check before it is restarted. */
const gentleMs = 10_000;
const attemptTimeoutMs = 60_000;
const patienceMs = 180_000;

/**
 * First the configuration once more: a guest that rebooted by itself has lost it, a service that ended is started by its hook. A guest
 * that does not answer that is restarted by force.
 */
export function machineRevive(platform: Platform): StepKind<MachineInput, Json> {
  return {
    kind: "machine.revive",
    input: machineInput,
    effect: ({ machine }) => ({
      creates: [],
      changes: [`machine ${machine} is configured again, or restarted when that does not help`],
      removes: [],
    }),
    attemptTimeoutMs,
    deadlineMs: patienceMs,
    async do(ctx, { machine }) {
      const gentle = { ...ctx, signal: AbortSignal.any([ctx.signal, AbortSignal.timeout(gentleMs)]) };
      try {
        await applyContext(platform, gentle, machine);
        const healthy = await waitHealthy(platform, gentle, machine);
        return { output: { restarted: false }, changes: healthy.changes };
      } catch (error) {
        if (ctx.signal.aborted) throw error;
        ctx.log.warn({ machine, error: isAppError(error) ? error.message : String(error) }, "a machine that hangs is restarted");
      }
      const stopped = await stopMachine(platform, ctx, machine, 0);
      const started = await startMachine(platform, ctx, machine);
      return { output: { restarted: true }, changes: [...stopped.changes, ...started.changes] };
    },
    undo: "nothing",
  };
}

const decisionSchema = z.object({ decision: z.enum(["confirm", "refuse"]), by: z.string(), reason: z.string() });

/** How long until an endpoint that does not answer is asked again by itself. */
const askAgainMs = 15_000;
const fenceCallMs = 10_000;

/**
 * Fencing (I6): the machine is stopped by force and its endpoint, which answers for itself, says that it is stopped. Only that is proof. When
 * the endpoint does not answer the machine may live: the run waits, asks again from time to time, and goes on only when the endpoint
 * answers or a person confirms that the machine is off, with a reason that stays on record. What follows must not be taken back: undoing a
 * promotion would bring back a database without the newest rows.
 */
export function machineFence(platform: Platform): StepKind<MachineInput, Json> {
  return {
    kind: "machine.fence",
    input: machineInput,
    effect: ({ machine }) => ({ creates: [], changes: [`machine ${machine} is proven stopped`], removes: [] }),
    attemptTimeoutMs: 2 * fenceCallMs,
    deadlineMs: patienceMs,
    final: true,
    async do(ctx, { machine }) {
      const decided = decisionSchema.safeParse(ctx.woken);
      if (decided.success) return byDecision(decided.data, machine);
      try {
        return await prove(platform, ctx, machine);
      } catch (error) {
        const noAnswer = isAppError(error) ? error.retryable : !ctx.signal.aborted && isTimeout(error);
        if (!noAnswer) throw error;
        const row = await theMachine(platform, ctx.vappId, machine);
        const endpoint = (await endpointById(platform.database, row.endpoint_id))?.name ?? "its endpoint";
        const run = formatId("run", ctx.runId);
        const reason = `${machine} may still run: ${endpoint} does not answer. It is asked again; or make sure that it is off and say so: strat run decide ${run} --confirm "..."`;
        return { wait: { event: decisionEvent(ctx.runId, ctx.stepId), until: ctx.clock.now() + askAgainMs, reason } };
      }
    },
    undo: "nothing",
  };
}

function isTimeout(error: unknown): boolean {
  return error instanceof Error && (error.name === "TimeoutError" || error.name === "AbortError");
}

/** What wakes a step that waits for a person. */
export function decisionEvent(runId: string, stepId: string): string {
  return `decision:${runId}:${stepId}`;
}

function byDecision({ decision, by, reason }: z.infer<typeof decisionSchema>, machine: string) {
  if (decision === "confirm") return { output: { proof: "decision", by, reason }, changes: [] };
  throw new AppError("conflict", `${by} does not confirm that ${machine} is off: ${reason}`);
}

async function prove(platform: Platform, ctx: StepContext, machine: string) {
  const row = await findMachine(platform, ctx.vappId, machine);
  if (row === null) return { output: { proof: "released" }, changes: [] };
  const provider = await platform.endpoints.provider(row.endpoint_id);
  const timed = { ...ctx, signal: AbortSignal.any([ctx.signal, AbortSignal.timeout(fenceCallMs)]) };
  await provider.machineStop(timed, machineRef(platform, row), { graceMs: 0 });
  const facts = await provider.machineObserve(timed, machineRef(platform, row));
  const power = facts?.power ?? "missing";
  if (power !== "stopped" && power !== "crashed" && power !== "missing") {
    throw new AppError("endpoint_busy", `${machine} is ${power} after it was stopped`);
  }
  const changes = facts === null ? [] : [await observed(platform, row, provider, facts)];
  return { output: { proof: "observed", power, at: new Date(ctx.clock.now()).toISOString() }, changes };
}
