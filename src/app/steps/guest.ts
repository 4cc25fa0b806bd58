/** Standard kinds inside machines: configuration through the channel, health through the fabric's reach. */
import { z } from "zod";
import { AppError, isAppError } from "#domain/error.ts";
import type { Json } from "#domain/json.ts";
import type { DesiredMachine } from "#domain/plan.ts";
import type { StepContext, StepKind, StepResult } from "#process/contract.ts";
import type { Platform } from "#app/context.ts";
import { checkHealth } from "#app/health-check.ts";
import { guestContext, vappAt } from "#app/steps/guest-context.ts";
import { machineRef, theMachine, theSegment, theVapp } from "#app/steps/realised.ts";
import { runById } from "#store/order.ts";
import { addressList } from "#store/vapp.ts";

const machineInput = z.object({ machine: z.string() });
type MachineInput = z.infer<typeof machineInput>;

/** Guests take up to half a minute to boot under software emulation, and longer on a loaded host. */
const bootPatienceMs = 180_000;
const attemptMs = 60_000;
const pollMs = 100;
/** Exit code of `apply` in a guest that is booting or at work on an earlier context (images/README.md). */
const notYet = 75;
/** Of what a failed hook said; the end says why. */
const stderrCharsMax = 2_000;
/** Longer than the engine's patience with an undo (30 minutes), so that a delete never runs beside it. */
const settlePatienceMs = 45 * 60_000;

export function contextApply(platform: Platform): StepKind<MachineInput, Json> {
  return {
    kind: "context.apply",
    input: machineInput,
    effect: ({ machine }) => ({ creates: [], changes: [`configuration of ${machine}`], removes: [] }),
    attemptTimeoutMs: attemptMs,
    deadlineMs: bootPatienceMs,
    do: (ctx, { machine }) => applyContext(platform, ctx, machine),
    undo: "nothing",
  };
}

/** As `context.apply` for a machine that was there before the order: undone, it gets the configuration of before. */
export function contextSync(platform: Platform): StepKind<MachineInput, Json> {
  return {
    ...contextApply(platform),
    kind: "context.sync",
    undo: (ctx, { machine }) => applyContext(platform, ctx, machine, "before"),
  };
}

/** Waits for the guest and hands it its configuration. Guests keep it in memory, so every start needs it again. */
export async function applyContext(platform: Platform, ctx: StepContext, machine: string, moment: "now" | "before" = "now") {
  const vapp = vappAt(await theVapp(platform, ctx.vappId), moment);
  const row = await theMachine(platform, ctx.vappId, machine);
  const provider = await platform.endpoints.provider(row.endpoint_id);
  const { text: stdin, secrets } = await guestContext(platform, vapp, row);
  const command = { argv: ["/usr/lib/stratiform/apply"], stdin, timeoutMs: 30_000 };
  const result = await whenReady(ctx, async () => {
    const answer = await provider.channelRun(ctx, machineRef(platform, row), command);
    if (answer.exitCode === notYet) throw new AppError("endpoint_busy", `${machine} is still at work on an earlier configuration`);
    return answer;
  });
  if (result.exitCode !== 0) {
    throw new AppError("guest_failed", `the configuration hook of ${machine} failed`, {
      internal: `exit ${result.exitCode}: ${withoutSecrets(result.stderr, secrets).slice(-stderrCharsMax)}`,
    });
  }
  return { output: { generation: vapp.generation }, changes: [] };
}

export function healthWait(platform: Platform): StepKind<MachineInput, Json> {
  return {
    kind: "health.wait",
    input: machineInput,
    effect: () => ({ creates: [], changes: [], removes: [] }),
    attemptTimeoutMs: attemptMs,
    deadlineMs: bootPatienceMs,
    do: (ctx, { machine }) => waitHealthy(platform, ctx, machine),
    undo: "nothing",
  };
}

/** Asks a machine's health check until it passes or the attempt ends. */
export async function waitHealthy(platform: Platform, ctx: StepContext, machine: string): Promise<StepResult & { output: Json }> {
  const row = await theMachine(platform, ctx.vappId, machine);
  const spec = row.spec as unknown as DesiredMachine;
  if (spec.health === null) return { output: null, changes: [] };
  const vapp = await theVapp(platform, ctx.vappId);
  const address = (await addressList(platform.database, [row.id])).find((candidate) => candidate.segment_name === spec.segments[0]);
  const segment = await theSegment(platform, ctx.vappId, spec.segments[0]!);
  const fabric = await platform.endpoints.fabric(vapp.site_id);
  const port = "tcp" in spec.health ? spec.health.tcp : spec.health.http.port;
  const target = { segment: segment.external_name, address: address!.address, port };
  await whenReady(ctx, () => checkHealth(ctx, fabric, target, spec.health!));
  return { output: null, changes: [{ type: "machine.healthy", machine }] };
}

const settleInput = z.object({ run: z.string() });

/** Waits until another run of the same vApp, already asked to cancel, has ended. */
export function runSettle(platform: Platform): StepKind<z.infer<typeof settleInput>, Json> {
  return {
    kind: "run.settle",
    input: settleInput,
    effect: () => ({ creates: [], changes: [], removes: [] }),
    attemptTimeoutMs: attemptMs,
    deadlineMs: settlePatienceMs,
    async do(ctx, { run }) {
      return whenReady(ctx, async () => {
        const row = await runById(platform.database, run);
        if (row !== undefined && row.finished_at === null) throw new AppError("endpoint_busy", "the run before is still being undone");
        return { output: null, changes: [] };
      });
    },
    undo: "nothing",
  };
}

/** Asks again while the other side is not ready yet, until the attempt's own signal ends it. */
async function whenReady<T>(ctx: StepContext, ask: () => Promise<T>): Promise<T> {
  for (;;) {
    try {
      return await ask();
    } catch (error) {
      if (!isAppError(error) || !error.retryable) throw error;
      await ctx.clock.sleep(pollMs, ctx.signal);
    }
  }
}

/** A hook may print what it was given; the log never holds it. */
export function withoutSecrets(text: string, secrets: readonly string[]): string {
  return secrets.reduce((rest, secret) => rest.replaceAll(secret, "***"), text);
}
