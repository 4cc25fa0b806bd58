/**
 * A WebSocket client (RFC 6455) over any connection of our HTTP client, because Node's own cannot use a unix socket. It does what
 * management APIs need: binary and text messages, fragments, ping and close. No extensions, no compression, no reconnection.
 */
import { createHash, randomBytes } from "node:crypto";
import type { Duplex } from "node:stream";
import { AppError } from "#domain/error.ts";
import type { HttpClient } from "#lib/http-client.ts";

const acceptSuffix = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
/** A message longer than this ends the connection: nobody sends such a thing on purpose. */
const messageLimitBytes = 16 * 1024 * 1024;

/** Reading pauses above this much that nobody has taken yet. */
const queueLimitBytes = 1024 * 1024;
/**
 * A ping is answered later, and never while unread bytes may be waiting. A peer that pings and soon closes leaves a broken pipe for the
 * answer, and Node throws away what was not read yet when a write fails. LXD pings at the start of every command: by then most have ended.
 */
const pongDelayMs = 2_000;

const opcodes = { continuation: 0, text: 1, binary: 2, close: 8, ping: 9, pong: 10 } as const;

export interface WebsocketMessage {
  readonly text: boolean;
  readonly data: Buffer;
}

interface Frame {
  readonly final: boolean;
  readonly opcode: number;
  readonly payload: Buffer;
}

/** Cuts a byte stream into frames. Throws `endpoint_refused` on what no server may send. */
export class FrameReader {
  #rest: Buffer = Buffer.alloc(0);

  push(chunk: Buffer): Frame[] {
    this.#rest = this.#rest.length === 0 ? chunk : Buffer.concat([this.#rest, chunk]);
    const frames: Frame[] = [];
    for (;;) {
      const frame = this.#take();
      if (frame === null) return frames;
      frames.push(frame);
    }
  }

  #take(): Frame | null {
    const bytes = this.#rest;
    if (bytes.length < 2) return null;
    const [first = 0, second = 0] = bytes;
    if ((first & 0x70) !== 0 || (second & 0x80) !== 0) throw protocolError("reserved bits or a masked frame from the server");
    const short = second & 0x7f;
    const headBytes = short === 126 ? 4 : short === 127 ? 10 : 2;
    if (bytes.length < headBytes) return null;
    const length = short === 126 ? bytes.readUInt16BE(2) : short === 127 ? Number(bytes.readBigUInt64BE(2)) : short;
    if (length > messageLimitBytes) throw protocolError(`a frame of ${length} bytes`);
    if (bytes.length < headBytes + length) return null;
    this.#rest = bytes.subarray(headBytes + length);
    return { final: (first & 0x80) !== 0, opcode: first & 0x0f, payload: bytes.subarray(headBytes, headBytes + length) };
  }
}

/** One final frame as a client sends it: masked with four random bytes, as the protocol demands. */
export function frameEncode(opcode: number, payload: Buffer, mask: Buffer = randomBytes(4)): Buffer {
  const length = payload.length;
  const headBytes = length < 126 ? 2 : length < 65_536 ? 4 : 10;
  const frame = Buffer.alloc(headBytes + 4 + length);
  frame[0] = 0x80 | opcode;
  frame[1] = 0x80 | (length < 126 ? length : length < 65_536 ? 126 : 127);
  if (headBytes === 4) frame.writeUInt16BE(length, 2);
  if (headBytes === 10) frame.writeBigUInt64BE(BigInt(length), 2);
  mask.copy(frame, headBytes);
  for (let i = 0; i < length; i++) frame[headBytes + 4 + i] = payload[i]! ^ mask[i & 3]!;
  return frame;
}

function protocolError(what: string): AppError {
  return new AppError("endpoint_refused", "The endpoint broke the WebSocket protocol", { internal: what });
}

export class Websocket {
  readonly #socket: Duplex;
  readonly #reader = new FrameReader();
  readonly #queue: WebsocketMessage[] = [];
  #queueBytes = 0;
  /** Tells the iteration that there is a message or an end. */
  #wake: () => void = () => {};
  #error: Error | null = null;
  #pong: NodeJS.Timeout | undefined;
  #fragments: Frame[] = [];
  #fragmentBytes = 0;
  /** We sent a close frame: the end of the connection is no loss. */
  #closed = false;
  /** The last message was delivered; later bytes are of no interest. */
  #ended = false;

  private constructor(socket: Duplex) {
    this.#socket = socket;
    socket.on("data", (chunk: Buffer) => this.#receive(chunk));
    socket.on("error", (cause) => this.#end(lostError(cause)));
    socket.on("close", () => this.#end(this.#closed ? null : lostError(new Error("closed without a close frame"))));
  }

  /** `signal` bounds the opening only. Rejects with the HTTP status as `internal` when the server does not switch protocols. */
  static async open(
    http: HttpClient,
    path: string,
    signal: AbortSignal,
    headers: Readonly<Record<string, string>> = {},
  ): Promise<Websocket> {
    const key = randomBytes(16).toString("base64");
    const own = { Connection: "Upgrade", Upgrade: "websocket", "Sec-WebSocket-Version": "13", "Sec-WebSocket-Key": key };
    const { response, socket } = await http.upgrade({ method: "GET", path, headers: { ...headers, ...own }, signal });
    if (socket === null) {
      response.resume();
      throw new AppError("endpoint_refused", "The endpoint did not open a WebSocket", { internal: `HTTP ${response.statusCode}` });
    }
    const accept = createHash("sha1").update(`${key}${acceptSuffix}`).digest("base64");
    if (response.headers["sec-websocket-accept"] !== accept) {
      socket.destroy();
      throw protocolError("wrong Sec-WebSocket-Accept");
    }
    return new Websocket(socket);
  }

  /** Messages in order. Ends after a close frame; throws `endpoint_unreachable` when the connection is lost, after what had come in. */
  async *messages(): AsyncGenerator<WebsocketMessage, void> {
    for (;;) {
      const next = this.#queue.shift();
      if (next !== undefined) {
        this.#queueBytes -= next.data.length;
        if (this.#queueBytes < queueLimitBytes) this.#socket.resume();
        yield next;
      } else if (this.#ended) {
        if (this.#error !== null) throw this.#error;
        return;
      } else {
        await new Promise<void>((resolve) => (this.#wake = resolve));
      }
    }
  }

  /** A string goes as text, a buffer as binary. Resolves when the socket can take more. */
  async send(data: string | Buffer): Promise<void> {
    const frame = typeof data === "string" ? frameEncode(opcodes.text, Buffer.from(data)) : frameEncode(opcodes.binary, data);
    if (this.#socket.destroyed || this.#socket.write(frame)) return;
    await new Promise<void>((resolve) => {
      const done = () => {
        this.#socket.off("drain", done);
        this.#socket.off("close", done);
        resolve();
      };
      this.#socket.on("drain", done);
      this.#socket.on("close", done);
    });
  }

  /** Says goodbye and drops the connection: no answer is awaited, since the peer may be the reason for leaving. */
  close(): void {
    if (this.#socket.destroyed) return;
    this.#closed = true;
    this.#socket.end(frameEncode(opcodes.close, Buffer.from([0x03, 0xe8])));
    this.#end(null);
  }

  #receive(chunk: Buffer): void {
    if (this.#ended) return;
    try {
      for (const frame of this.#reader.push(chunk)) this.#handle(frame);
    } catch (error) {
      this.#end(error instanceof Error ? error : new Error(String(error)));
      this.#socket.destroy();
    }
  }

  #handle(frame: Frame): void {
    if (frame.opcode === opcodes.ping) {
      clearTimeout(this.#pong);
      this.#pong = setTimeout(() => {
        if (!this.#socket.isPaused()) this.#socket.write(frameEncode(opcodes.pong, frame.payload));
      }, pongDelayMs);
    } else if (frame.opcode === opcodes.close) {
      this.close();
    } else if (frame.opcode !== opcodes.pong) {
      this.#fragments.push(frame);
      this.#fragmentBytes += frame.payload.length;
      if (this.#fragmentBytes > messageLimitBytes) throw protocolError(`a message of more than ${messageLimitBytes} bytes`);
      if (!frame.final) return;
      const data = Buffer.concat(this.#fragments.map(({ payload }) => payload));
      const text = this.#fragments[0]?.opcode === opcodes.text;
      this.#fragments = [];
      this.#fragmentBytes = 0;
      this.#queue.push({ text, data });
      this.#queueBytes += data.length;
      if (this.#queueBytes >= queueLimitBytes) this.#socket.pause();
      this.#wake();
    }
  }

  #end(error: Error | null): void {
    if (this.#ended) return;
    this.#ended = true;
    this.#error = error;
    clearTimeout(this.#pong);
    this.#wake();
  }
}

function lostError(cause: unknown): AppError {
  return new AppError("endpoint_unreachable", "The connection to the endpoint was lost", { cause, internal: String(cause) });
}
