/**
 * Commands in the guest, through the QEMU guest agent: `guest-exec` starts one, `guest-exec-status` is asked until it has ended. The input
 * travels inside the first command, so secrets are in no argument list. Source: QEMU's qga/qapi-schema.json.
 *
 * An agent command must fit into the socket buffer between libvirt and QEMU (208 KiB). When it does not, libvirt (seen in 9.0:
 * qemuAgentIOWrite with safewrite) forgets what it has already written, sends the beginning again, and the agent reads nonsense until it
 * gives up. So larger input is first collected in a file that only root can read, in pieces; this needs /bin/sh, cat and rm in the guest.
 */
import { randomUUID } from "node:crypto";
import { z } from "zod";
import type { CallContext } from "#domain/context.ts";
import { AppError } from "#domain/error.ts";
import type { ChannelCommand, ChannelResult, MachineRef } from "#provider/contract.ts";
import type { LibvirtClient } from "#providers/libvirt/client.ts";
import { isFailure, libvirtCode, type LibvirtFailure } from "#providers/libvirt/failure.ts";
import { machineGet } from "#providers/libvirt/machine.ts";
import { domainState, type DomainHandle } from "#providers/libvirt/protocol.ts";

const inputBytesMax = 1024 * 1024;
const outputBytesMax = 1024 * 1024;
/** In base64 a third longer: leaves half of the socket buffer for arguments and what is still in it. */
const pieceBytesMax = 64 * 1024;
const agentCommandCharsMax = 180_000;
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
  const guest: Guest = { client, ctx, domain, deadlineMs: ctx.clock.now() + (command.timeoutMs ?? defaultTimeoutMs) };
  const input = Buffer.from(command.stdin ?? "");
  if (input.length > inputBytesMax) throw new AppError("invalid_input", "the input of a command in a guest is too long");
  if (input.length <= pieceBytesMax) return resultOf(await guestExec(guest, command.argv, input));
  return resultOf(await guestExecLarge(guest, command.argv, input));
}

/** One machine's agent during one call. */
interface Guest {
  readonly client: LibvirtClient;
  readonly ctx: CallContext;
  readonly domain: DomainHandle;
  readonly deadlineMs: number;
}

async function guestExecLarge(guest: Guest, argv: readonly string[], input: Buffer): Promise<Status> {
  const file = `/run/stratiform-input-${randomUUID()}`;
  try {
    for (let at = 0; at < input.length; at += pieceBytesMax) {
      const append = ["/bin/sh", "-c", 'umask 077; exec cat >> "$1"', "sh", file];
      const status = await guestExec(guest, append, input.subarray(at, at + pieceBytesMax));
      if (status.exitcode !== 0)
        throw new AppError("guest_failed", "the guest could not take the input of a command", { internal: resultOf(status).stderr });
    }
    // The file is gone before the command starts, whatever becomes of it.
    const run = 'exec 3< "$1"; rm -f "$1"; shift; exec "$@" <&3 3<&-';
    return await guestExec(guest, ["/bin/sh", "-c", run, "sh", file, ...argv], Buffer.alloc(0));
  } catch (error) {
    tidyUp(guest, ["/bin/rm", "-f", file]);
    throw error;
  }
}

/** Runs one command to its end or to the deadline. */
async function guestExec(guest: Guest, argv: readonly string[], input: Buffer): Promise<Status> {
  const [path = "", ...args] = argv;
  const request = { path, arg: args, "capture-output": true, "input-data": input.toString("base64") };
  const { pid } = startedSchema.parse(await agent(guest.client, guest.domain, "guest-exec", request)).return;
  for (let pauseMs = pollMinMs; ; pauseMs = Math.min(pauseMs * 2, pollMaxMs)) {
    const status = statusSchema.parse(await agent(guest.client, guest.domain, "guest-exec-status", { pid })).return;
    if (status.exited) return status;
    const leftMs = guest.deadlineMs - guest.ctx.clock.now();
    if (leftMs <= 0) break;
    try {
      await guest.ctx.clock.sleep(Math.min(pauseMs, leftMs), guest.ctx.signal);
    } catch (error) {
      tidyUp(guest, ["/bin/kill", "-KILL", String(pid)]);
      throw error;
    }
  }
  tidyUp(guest, ["/bin/kill", "-KILL", String(pid)]);
  throw new AppError("timeout", "the command in the guest did not end in time", { internal: path });
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

/** Best effort, not waited for: a guest without these programs keeps the process until it ends by itself. */
function tidyUp({ client, ctx, domain }: Guest, argv: readonly string[]): void {
  const [path, ...arg] = argv;
  agent(client.detached(), domain, "guest-exec", { path, arg }).catch((error: unknown) =>
    ctx.log.warn({ error, domain: domain.name, path }, "a guest could not be tidied up after a command"),
  );
}

const notReady = (cause?: unknown): AppError => new AppError("endpoint_busy", "the guest is not ready for commands yet", { cause });

async function agent(client: LibvirtClient, domain: DomainHandle, execute: string, args: object): Promise<unknown> {
  const command = JSON.stringify({ execute, arguments: args });
  if (command.length > agentCommandCharsMax) throw new AppError("invalid_input", "the arguments of a command in a guest are too long");
  try {
    const answer: unknown = JSON.parse(await client.agentCommand(domain, command, agentTimeoutSeconds));
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
  // The agent's own sentence about a program it cannot start; the command is the caller's, so he may read it.
  const reason = /\((No such file or directory|Permission denied|Exec format error|Not a directory)\)/.exec(error.message)?.[1];
  const message = `the guest could not run the command${reason === undefined ? "" : `: ${reason}`}`;
  return new AppError("guest_failed", message, { cause: error, internal: `${execute}: ${error.message}` });
}
