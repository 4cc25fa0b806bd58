/**
 * Commands in the guest, through the QEMU guest agent: `guest-exec` starts one, `guest-exec-status` is asked until it has ended. The input
 * travels inside the first command, so secrets are in no argument list. Source: QEMU's qga/qapi-schema.json.
 */
import { z } from "zod";
import type { CallContext } from "#domain/context.ts";
import { AppError } from "#domain/error.ts";
import type { ChannelCommand, ChannelResult, MachineRef } from "#provider/contract.ts";
import type { LibvirtClient } from "#providers/libvirt/client.ts";
import { isFailure, LibvirtFailure, libvirtCode } from "#providers/libvirt/failure.ts";
import { machineGet } from "#providers/libvirt/machine.ts";
import { domainState, type DomainHandle } from "#providers/libvirt/protocol.ts";

const outputBytesMax = 1024 * 1024;
const defaultTimeoutMs = 30_000;
/** The agent answers within milliseconds or is stuck. */
const agentTimeoutSeconds = 10;
/** Short commands are answered soon, long ones are not asked for too often: the pause grows from one to the other. */
const pollMinMs = 10;
const pollMaxMs = 250;

const startedSchema = z.object({ return: z.object({ pid: z.number().int() }) });
const statusSchema = z.object({
  return: z.object({
    exited: z.boolean(),
    exitcode: z.number().int().optional(),
    signal: z.number().int().optional(),
    "out-data": z.string().default(""),
    "err-data": z.string().default(""),
    "out-truncated": z.boolean().default(false),
    "err-truncated": z.boolean().default(false),
  }),
});
type Status = z.infer<typeof statusSchema>["return"];

export async function channelRun(
  client: LibvirtClient,
  ctx: CallContext,
  ref: MachineRef,
  command: ChannelCommand,
): Promise<ChannelResult> {
  const { domain } = await machineGet(client, ref);
  if ((await client.domainState(domain)).state !== domainState.running) throw notReady();
  const deadline = ctx.clock.now() + (command.timeoutMs ?? defaultTimeoutMs);
  const [path = "", ...args] = command.argv;
  const { pid } = startedSchema.parse(
    await agent(client, domain, "guest-exec", {
      path,
      arg: args,
      "capture-output": true,
      ...(command.stdin === undefined ? {} : { "input-data": Buffer.from(command.stdin).toString("base64") }),
    }),
  ).return;
  for (let pauseMs = pollMinMs; ; pauseMs = Math.min(pauseMs * 2, pollMaxMs)) {
    const status = statusSchema.parse(await agent(client, domain, "guest-exec-status", { pid })).return;
    if (status.exited) return resultOf(status);
    const leftMs = deadline - ctx.clock.now();
    if (leftMs <= 0) break;
    try {
      await ctx.clock.sleep(Math.min(pauseMs, leftMs), ctx.signal);
    } catch (error) {
      kill(client, ctx, domain, pid);
      throw error;
    }
  }
  kill(client, ctx, domain, pid);
  throw new AppError("timeout", "the command in the guest did not end in time", { internal: command.argv.join(" ") });
}

function resultOf(status: Status): ChannelResult {
  const stdout = Buffer.from(status["out-data"], "base64");
  const stderr = Buffer.from(status["err-data"], "base64");
  const cut = stdout.length > outputBytesMax || stderr.length > outputBytesMax;
  return {
    // Like a shell: ended by a signal is 128 + its number.
    exitCode: status.exitcode ?? 128 + (status.signal ?? 0),
    stdout: stdout.subarray(0, outputBytesMax).toString("utf8"),
    stderr: stderr.subarray(0, outputBytesMax).toString("utf8"),
    truncated: cut || status["out-truncated"] || status["err-truncated"],
  };
}

/** Best effort, not waited for: a guest without `kill` keeps the process until it ends by itself. */
function kill(client: LibvirtClient, ctx: CallContext, domain: DomainHandle, pid: number): void {
  agent(client.detached(), domain, "guest-exec", { path: "/bin/kill", arg: ["-KILL", String(pid)] }).catch((error: unknown) =>
    ctx.log.warn({ error, domain: domain.name, pid }, "a command in a guest could not be ended"),
  );
}

const notReady = (cause?: unknown): AppError => new AppError("endpoint_busy", "the guest is not ready for commands yet", { cause });

async function agent(client: LibvirtClient, domain: DomainHandle, execute: string, args: object): Promise<unknown> {
  try {
    const answer: unknown = JSON.parse(
      await client.agentCommand(domain, JSON.stringify({ execute, arguments: args }), agentTimeoutSeconds),
    );
    return answer;
  } catch (error) {
    // The guest went off, or the agent restarts: both may be ready again later.
    if (isFailure(error, libvirtCode.operationInvalid, libvirtCode.agentUnresponsive, libvirtCode.agentUnsynced)) throw notReady(error);
    if (!isFailure(error, libvirtCode.internalError)) throw error;
    throw refusedByGuest(error, execute);
  }
}

/** libvirt passes what the agent said in one text; only the agent's own errors are the guest's. */
function refusedByGuest(error: LibvirtFailure, execute: string): AppError {
  return new AppError("guest_failed", "the guest could not run the command", { cause: error, internal: `${execute}: ${error.message}` });
}
