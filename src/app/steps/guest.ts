/** Standard kinds inside machines: configuration through the channel, health through the fabric's reach. */
import http from "node:http";
import type { Duplex } from "node:stream";
import { z } from "zod";
import { reachableAddress, renderConfig, type RenderedVapp } from "#domain/blueprint-render.ts";
import { AppError, isAppError } from "#domain/error.ts";
import { resolveSecrets } from "#domain/expression.ts";
import type { Json } from "#domain/json.ts";
import type { DesiredMachine, Health } from "#domain/plan.ts";
import type { StepContext, StepKind } from "#process/contract.ts";
import type { Fabric, ReachTarget } from "#fabric/contract.ts";
import type { Platform } from "#app/context.ts";
import type { VappBefore } from "#app/desired.ts";
import { secretPlace } from "#app/secret-box.ts";
import { balanceOf } from "#app/steps/balancer.ts";
import { machineRef, theMachine, theSegment, theVapp } from "#app/steps/realised.ts";
import { runById } from "#store/order.ts";
import { addressList, machineList, secretList, type MachineRow, type VappRow } from "#store/vapp.ts";

const machineInput = z.object({ machine: z.string() });
type MachineInput = z.infer<typeof machineInput>;

/** Guests take up to half a minute to boot under software emulation, and longer on a loaded host. */
const bootPatienceMs = 180_000;
const attemptMs = 60_000;
const pollMs = 100;
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
  const result = await whenReady(ctx, () => provider.channelRun(ctx, machineRef(platform, row), command));
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
    async do(ctx, { machine }) {
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
    },
    undo: "nothing",
  };
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

/** One check. Throws `endpoint_unreachable` or `endpoint_busy` while the machine is not well. */
export async function checkHealth(
  ctx: { signal: AbortSignal } & StepContextLike,
  fabric: Fabric,
  target: ReachTarget,
  health: Health,
): Promise<void> {
  const socket = await fabric.reach(ctx, target);
  try {
    if ("http" in health) await httpOk(socket, target, health.http.path);
  } finally {
    socket.destroy();
  }
}
type StepContextLike = Parameters<Fabric["reach"]>[0];

const healthTimeoutMs = 3_000;

function httpOk(socket: Duplex, target: ReachTarget, path: string): Promise<void> {
  return new Promise((resolve, reject) => {
    const failed = (cause?: unknown) =>
      reject(new AppError("endpoint_busy", "the machine does not answer its health check yet", { cause }));
    const request = http.get(
      { createConnection: () => socket, host: target.address, path, timeout: healthTimeoutMs, headers: { connection: "close" } },
      (response) => {
        response.resume();
        response.on("end", () => ((response.statusCode ?? 500) < 400 ? resolve() : failed()));
        response.on("error", failed);
      },
    );
    request.on("timeout", () => request.destroy(new Error("no answer in time")));
    request.on("error", failed);
  });
}

/** The vApp as an order in flight wants it, or as it was before. */
function vappAt(vapp: VappRow, moment: "now" | "before"): VappAt {
  const before = vapp.before as unknown as VappBefore | null;
  const blueprint = vapp.blueprint as unknown as RenderedVapp;
  if (moment === "now" || before === null) return { ...vapp, blueprint, has: ({ desired }) => desired !== "deleted" };
  return { ...vapp, blueprint: before.blueprint, has: ({ name }) => before.machines.includes(name) };
}

interface VappAt extends Pick<VappRow, "id" | "generation"> {
  readonly blueprint: RenderedVapp;
  /** Whether a machine belongs to it at that moment. */
  has(machine: Pick<MachineRow, "name" | "desired">): boolean;
}

/** The context document a guest gets. It holds secrets in clear: made here, handed to the channel, kept nowhere. */
async function guestContext(platform: Platform, vapp: VappAt, row: MachineRow): Promise<{ text: string; secrets: string[] }> {
  const machines = (await machineList(platform.database, [vapp.id])).filter((machine) => vapp.has(machine));
  const rows = await addressList(
    platform.database,
    machines.map((machine) => machine.id),
  );
  const addresses: Record<string, Record<string, string>> = {};
  for (const machine of machines) addresses[machine.name] = {};
  for (const address of rows) addresses[address.machine_name]![address.segment_name] = address.address;
  const config = renderConfig(vapp.blueprint, { addresses })[row.name] ?? {};
  const sealed = new Map((await secretList(platform.database, vapp.id)).map((secret) => [secret.name, secret.ciphertext]));
  const secrets: string[] = [];
  const secretOf = (name: string) => {
    const secret = platform.secrets.open(secretPlace(vapp.id, name), sealed.get(name)!);
    secrets.push(secret);
    return secret;
  };
  const { segments, volumes = [] } = row.spec as unknown as DesiredMachine;
  const tiers: Record<string, { name: string; addresses: Record<string, string> }[]> = {};
  for (const machine of machines) (tiers[machine.tier] ??= []).push({ name: machine.name, addresses: addresses[machine.name]! });
  const text = JSON.stringify({
    generation: vapp.generation,
    self: { name: row.name, tier: row.tier, index: row.ordinal, addresses: addresses[row.name] },
    config: Object.fromEntries(Object.entries(config).map(([key, value]) => [key, resolveSecrets(value, secretOf)])),
    tiers,
    volumes,
    ...balanceContext(vapp.blueprint, row.tier, (tier) =>
      (tiers[tier] ?? []).map(({ name, addresses: own }) => ({ name, address: reachableAddress(segments, own) })),
    ),
  });
  return { text, secrets };
}

/** What a machine that balances a tier needs for its configuration file; nothing for others. */
function balanceContext(
  blueprint: RenderedVapp,
  tier: string,
  membersOf: (tier: string) => readonly { readonly name: string; readonly address: string | undefined }[],
) {
  const balance = balanceOf(blueprint, tier);
  if (balance === null) return {};
  const { tier: pool, port, health } = balance;
  return { balance: { pool, port, health, members: membersOf(pool).filter(({ address }) => address !== undefined) } };
}

/** A hook may print what it was given; the log never holds it. */
export function withoutSecrets(text: string, secrets: readonly string[]): string {
  return secrets.reduce((rest, secret) => rest.replaceAll(secret, "***"), text);
}
