/**
 * Commands in a guest: LXD's exec with one WebSocket each for standard input, output, error and control. Input goes through memory only,
 * so a secret in it is never left behind in a file.
 */
import { z } from "zod";
import type { CallContext } from "#domain/context.ts";
import { AppError } from "#domain/error.ts";
import { abortError } from "#lib/abort.ts";
import type { Websocket } from "#lib/websocket.ts";
import type { ChannelCommand, ChannelResult, MachineRef } from "#provider/contract.ts";
import { parseMetadata, type LxdConnection } from "./connection.ts";
import { instancePower } from "./instance.ts";
import { instanceGet } from "./rounds.ts";

const outputLimitBytes = 1024 * 1024;
const stdinLimitBytes = 1024 * 1024;
const stdinChunkBytes = 32 * 1024;
const defaultTimeoutMs = 30_000;
/** A killed command must have ended, and LXD noticed, within this time; otherwise nobody waits any longer. */
const killGraceMs = 3_000;

const secretsSchema = z.object({ fds: z.object({ "0": z.string(), "1": z.string(), "2": z.string(), control: z.string() }) });

interface Streams {
  readonly stdin: Websocket;
  readonly stdout: Websocket;
  readonly stderr: Websocket;
  readonly control: Websocket;
}

interface Started {
  readonly id: string;
  readonly streams: Streams;
}

export async function channelRun(ctx: CallContext, lxd: LxdConnection, ref: MachineRef, command: ChannelCommand): Promise<ChannelResult> {
  const stdin = Buffer.from(command.stdin ?? "");
  if (stdin.length > stdinLimitBytes) throw new AppError("invalid_input", "Standard input of a command is limited to 1 MiB");
  const { instance } = await instanceGet(ctx, lxd, ref);
  if (instancePower(instance) !== "running") throw new AppError("endpoint_busy", "The machine does not run");

  const limit = AbortSignal.timeout(command.timeoutMs ?? defaultTimeoutMs);
  const { id, streams } = await commandStart(ctx, lxd, ref.name, command.argv);
  try {
    const work = commandFinish(ctx, lxd, id, streams, stdin);
    return await orKilled(work, AbortSignal.any([ctx.signal, limit]), streams.control);
  } finally {
    for (const stream of Object.values(streams)) stream.close();
  }
}

async function commandStart(ctx: CallContext, lxd: LxdConnection, name: string, argv: readonly string[]): Promise<Started> {
  const { operation } = await lxd.request(ctx, "POST", `/1.0/instances/${encodeURIComponent(name)}/exec`, {
    body: { command: argv, "wait-for-websocket": true, interactive: false, environment: {} },
  });
  if (operation === null) throw new AppError("endpoint_refused", "The endpoint did not run the command");
  const { fds } = parseMetadata(secretsSchema, operation.metadata, "exec");
  const open = (secret: string) => lxd.websocket(ctx, `/1.0/operations/${operation.id}/websocket?secret=${secret}`);
  // LXD runs the command once the other three are there, and forgets an operation that ended: a short command would not wait for control.
  const control = await open(fds.control);
  const opened = await Promise.allSettled([open(fds["0"]), open(fds["1"]), open(fds["2"])]);
  const [stdin, stdout, stderr] = opened.map((result) => (result.status === "fulfilled" ? result.value : null));
  if (stdin && stdout && stderr) return { id: operation.id, streams: { stdin, stdout, stderr, control } };
  for (const stream of [stdin, stdout, stderr, control]) stream?.close();
  throw opened.find((result) => result.status === "rejected")?.reason;
}

async function commandFinish(ctx: CallContext, lxd: LxdConnection, id: string, streams: Streams, stdin: Buffer): Promise<ChannelResult> {
  const [stdout, stderr] = await Promise.all([streamRead(streams.stdout), streamRead(streams.stderr), streamWrite(streams.stdin, stdin)]);
  const operation = await lxd.wait(ctx, id);
  const code = operation.metadata?.["return"];
  if (typeof code !== "number") throw new AppError("guest_failed", "The endpoint did not tell the command's exit code");
  return { exitCode: code, stdout: stdout.text, stderr: stderr.text, truncated: stdout.truncated || stderr.truncated };
}

/** The end of input is an empty text message. A command that does not read its input closes it: that is no error. */
async function streamWrite(stream: Websocket, data: Buffer): Promise<void> {
  for (let offset = 0; offset < data.length; offset += stdinChunkBytes) await stream.send(data.subarray(offset, offset + stdinChunkBytes));
  await stream.send("");
}

/** Reads on beyond the limit, so that the command is not blocked, but keeps no more than the limit. */
async function streamRead(stream: Websocket): Promise<{ text: string; truncated: boolean }> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  for await (const message of stream.messages()) {
    if (message.text) break; // LXD's end of output.
    if (bytes < outputLimitBytes) chunks.push(message.data.subarray(0, outputLimitBytes - bytes));
    bytes += message.data.length;
  }
  return { text: Buffer.concat(chunks).toString(), truncated: bytes > outputLimitBytes };
}

/** Waits for the work; at the limit kills the command in the guest and throws `timeout` or `cancelled`. */
async function orKilled(work: Promise<ChannelResult>, signal: AbortSignal, control: Websocket): Promise<ChannelResult> {
  const stopped = Promise.withResolvers<never>();
  const onAbort = () => {
    const killed = control.send(JSON.stringify({ command: "signal", signal: 9 }));
    const limit = new Promise((resolve) => setTimeout(resolve, killGraceMs));
    // Leaving before the signal was taken would leave the command running.
    const settled = Promise.race([Promise.all([killed, work.catch(() => {})]), limit]);
    void settled.then(() => stopped.reject(abortError(signal)));
  };
  if (signal.aborted) onAbort();
  else signal.addEventListener("abort", onAbort, { once: true });
  try {
    const result = await Promise.race([work, stopped.promise]);
    // The exit code of a command that we killed is no result.
    if (signal.aborted) throw abortError(signal);
    return result;
  } finally {
    signal.removeEventListener("abort", onAbort);
  }
}
