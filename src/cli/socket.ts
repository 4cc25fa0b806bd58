/** A WebSocket of the API in the terminal: bytes from one stream, bytes to another, and how it ended. */
import { once } from "node:events";
import type { IncomingMessage } from "node:http";
import type { Readable, Writable } from "node:stream";
import { WebSocket, type RawData } from "ws";
import { problemOf, UnreachableError } from "#sdk/client.ts";
import { CliError, exitCodes } from "#cli/exit.ts";
import type { Session } from "#cli/session.ts";

/** Below what the server takes as one frame. */
const pieceBytes = 32 * 1024;
/** What waits for a slow server before standard input is read on. */
const windowBytes = 256 * 1024;
const largestFrameBytes = 1024 * 1024;
const problemBytes = 64 * 1024;
const openTimeoutMs = 30_000;

/** Opened, and paused until somebody listens. */
export function openSocket(session: Pick<Session, "url" | "token">, path: string): Promise<WebSocket> {
  const socket = new WebSocket(session.url.replace(/^http/, "ws") + path, {
    headers: { authorization: `Bearer ${session.token}` },
    maxPayload: largestFrameBytes,
    perMessageDeflate: false,
    handshakeTimeout: openTimeoutMs,
  });
  return new Promise((resolve, reject) => {
    socket.once("open", () => {
      socket.pause();
      resolve(socket);
    });
    socket.on("error", (error) => reject(new UnreachableError(session.url, error)));
    socket.once("unexpected-response", (request, response) => {
      void refusalOf(response, session.url).then((error) => {
        request.destroy();
        reject(error);
      });
    });
  });
}

async function refusalOf(response: IncomingMessage, url: string): Promise<Error> {
  let text = "";
  try {
    for await (const chunk of response) {
      text += String(chunk);
      if (text.length > problemBytes) break;
    }
  } catch {
    // What came so far says what it says.
  }
  return problemOf(new Response(text, { status: response.statusCode ?? 500 }), url);
}

export interface CarryOptions {
  readonly input: Readable;
  readonly output: Writable;
  /** Given each piece of the input; null ends the session from this side. */
  readonly filter?: (chunk: Buffer) => { readonly send: Buffer; readonly quit: boolean };
  /** What the end of the input means: the end of our half, or of the session once nothing has come for so long. */
  readonly atEnd: "half" | { readonly quietMs: number };
}

/** Carries bytes until one side ends; throws when it was not a plain end. */
export async function carry(socket: WebSocket, options: CarryOptions): Promise<void> {
  const { input, output } = options;
  let heardAt = Date.now();
  const onMessage = (data: RawData) => {
    heardAt = Date.now();
    if (output.write(data as Buffer)) return;
    socket.pause();
    output.once("drain", () => socket.resume());
  };
  socket.on("message", onMessage);
  // Whoever read our output has gone: `| head` is no failure.
  const onBroken = () => socket.close(1000);
  output.on("error", onBroken);
  const closed = once(socket, "close") as Promise<[number, Buffer]>;
  socket.resume();
  const sent = send(socket, options, () => heardAt).catch(() => socket.close(1000));
  const [code, reason] = await closed;
  input.destroy();
  await sent;
  output.off("error", onBroken);
  if (code === 1000 || code === 1005) return;
  const said = reason.toString();
  throw new CliError(code === 4003 ? exitCodes.refused : exitCodes.failed, said === "" ? `the connection was lost (${code})` : said);
}

async function send(socket: WebSocket, { input, filter, atEnd }: CarryOptions, heardAt: () => number): Promise<void> {
  try {
    for await (const chunk of input) {
      const { send: bytes, quit } = filter?.(chunk as Buffer) ?? { send: chunk as Buffer, quit: false };
      for (let at = 0; at < bytes.length; at += pieceBytes) socket.send(bytes.subarray(at, at + pieceBytes));
      while (socket.bufferedAmount > windowBytes && socket.readyState === socket.OPEN) await sleep(10);
      if (quit) return socket.close(1000);
      if (socket.readyState !== socket.OPEN) return;
    }
  } catch (error) {
    // We ended it ourselves when the other side was gone.
    if (socket.readyState === socket.OPEN) throw error;
    return;
  }
  if (socket.readyState !== socket.OPEN) return;
  if (atEnd === "half") return socket.send(Buffer.alloc(0));
  const endedAt = Date.now();
  while (socket.readyState === socket.OPEN && Date.now() - Math.max(endedAt, heardAt()) < atEnd.quietMs) await sleep(50);
  socket.close(1000);
}

function sleep(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}

export function machinePath(vapp: string, machine: string, rest: string): string {
  return `/v1/vapps/${encodeURIComponent(vapp)}/machines/${encodeURIComponent(machine)}/${rest}`;
}
