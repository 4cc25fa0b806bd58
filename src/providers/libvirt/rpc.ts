/**
 * One connection to a libvirtd, by its own RPC protocol. What it guarantees:
 * - every call ends: with its reply, at its time limit, when its signal aborts, or when the connection is lost;
 * - a reply is matched by serial; a reply that comes after its caller has left is dropped;
 * - a lost connection fails everything in flight with `endpoint_unreachable`, once, and is never reused.
 * It knows nothing of domains or volumes, never reconnects and never retries: `session.ts` opens the next one.
 *
 * libvirtd works on at most five requests of one client at a time (`max_client_requests`) and then stops reading, so whoever may block
 * for long (uploads, consoles, the guest agent) uses a connection of its own.
 */
import type { Duplex } from "node:stream";
import { AppError } from "#domain/error.ts";
import { XdrReader } from "#lib/xdr.ts";
import { decodeFailure } from "#providers/libvirt/failure.ts";
import {
  decodeHeader,
  encodeMessage,
  headerBytes,
  messageBytesMax,
  messageStatus,
  messageType,
  type MessageHeader,
} from "#providers/libvirt/protocol.ts";

export interface RpcCall {
  readonly program: number;
  readonly procedure: number;
  readonly payload: Buffer;
  readonly timeoutMs: number;
  readonly signal: AbortSignal;
}

export interface RpcEvent {
  readonly program: number;
  readonly procedure: number;
  readonly body: XdrReader;
}

/** What comes in on a stream. `onEnd(null)`: the peer finished it properly. Called once. */
export interface StreamListener {
  onData(chunk: Buffer): void;
  onEnd(error: Error | null): void;
}

interface Waiter {
  resolve(body: XdrReader): void;
  reject(error: unknown): void;
}

export class RpcConnection {
  readonly #transport: Duplex;
  readonly #waiters = new Map<number, Waiter>();
  readonly #streams = new Map<number, StreamListener>();
  readonly #closed = Promise.withResolvers<AppError>();
  /** Senders that wait until the transport takes more. */
  readonly #stalled: { resolve(): void; reject(error: unknown): void }[] = [];
  #received: Buffer = Buffer.alloc(0);
  #serial = 0;
  #lost: AppError | null = null;
  #onEvent: (event: RpcEvent) => void = () => {};

  constructor(transport: Duplex) {
    this.#transport = transport;
    transport.on("data", (chunk: Buffer) => this.#onBytes(chunk));
    transport.on("drain", () => {
      for (const sender of this.#stalled.splice(0)) sender.resolve();
    });
    transport.on("error", (cause: Error) => this.#lose(cause));
    transport.on("close", () => this.#lose(null));
    transport.on("end", () => this.#lose(null));
  }

  /** Resolves with the reason when the connection is gone, whoever closed it. */
  get closed(): Promise<AppError> {
    return this.#closed.promise;
  }

  get usable(): boolean {
    return this.#lost === null;
  }

  /** One listener is enough: whoever wants events has its own connection. */
  onEvent(listener: (event: RpcEvent) => void): void {
    this.#onEvent = listener;
  }

  close(): void {
    this.#lose(null);
  }

  call(request: RpcCall): Promise<XdrReader> {
    return this.#exchange(++this.#serial, request, messageType.call);
  }

  /** Makes the call and keeps its serial as a stream. Data may arrive before the returned promise is looked at. */
  async openStream(request: RpcCall, listener: StreamListener): Promise<RpcStream> {
    const serial = ++this.#serial;
    this.#streams.set(serial, listener);
    try {
      await this.#exchange(serial, request, messageType.call);
    } catch (error) {
      this.#streams.delete(serial);
      throw error;
    }
    return {
      send: (chunk) => this.#send({ ...request, type: messageType.stream, serial, status: messageStatus.continue }, chunk),
      finish: () => this.#send({ ...request, type: messageType.stream, serial, status: messageStatus.ok }, Buffer.alloc(0)),
      abort: () => {
        this.#streams.delete(serial);
        return this.#send({ ...request, type: messageType.stream, serial, status: messageStatus.error }, Buffer.alloc(0));
      },
      pause: () => this.#transport.pause(),
      resume: () => this.#transport.resume(),
    };
  }

  #exchange(serial: number, request: RpcCall, type: number): Promise<XdrReader> {
    const { promise, resolve, reject } = Promise.withResolvers<XdrReader>();
    if (this.#lost !== null) return Promise.reject(this.#lost);
    if (request.signal.aborted) return Promise.reject(request.signal.reason);
    const timer = setTimeout(() => {
      reject(
        new AppError("timeout", "the endpoint did not answer in time", {
          internal: `procedure ${request.procedure}, ${request.timeoutMs} ms`,
        }),
      );
    }, request.timeoutMs);
    const onAbort = () => reject(request.signal.reason);
    request.signal.addEventListener("abort", onAbort, { once: true });
    this.#waiters.set(serial, { resolve, reject });
    this.#send({ ...request, type, serial, status: messageStatus.ok }, request.payload).catch(reject);
    return promise.finally(() => {
      clearTimeout(timer);
      request.signal.removeEventListener("abort", onAbort);
      this.#waiters.delete(serial);
    });
  }

  /** Resolves when the transport takes more: this is the whole flow control of uploads. */
  #send(header: Pick<MessageHeader, "program" | "procedure" | "type" | "serial" | "status">, payload: Buffer): Promise<void> {
    if (this.#lost !== null) return Promise.reject(this.#lost);
    const { program, procedure, type, serial, status } = header;
    if (this.#transport.write(encodeMessage({ program, procedure, type, serial, status }, payload))) return Promise.resolve();
    return new Promise((resolve, reject) => this.#stalled.push({ resolve, reject }));
  }

  #onBytes(chunk: Buffer): void {
    this.#received = this.#received.length === 0 ? chunk : Buffer.concat([this.#received, chunk]);
    try {
      while (this.#received.length >= headerBytes) {
        const header = decodeHeader(this.#received);
        if (header.lengthBytes < headerBytes || header.lengthBytes > messageBytesMax)
          throw new Error(`message of ${header.lengthBytes} bytes`);
        if (this.#received.length < header.lengthBytes) return;
        const body = this.#received.subarray(headerBytes, header.lengthBytes);
        this.#received = this.#received.subarray(header.lengthBytes);
        this.#onMessage(header, body);
      }
    } catch (cause) {
      this.#lose(cause as Error);
    }
  }

  #onMessage(header: MessageHeader, body: Buffer): void {
    switch (header.type) {
      case messageType.reply: {
        const waiter = this.#waiters.get(header.serial);
        if (header.status === messageStatus.error) waiter?.reject(decodeFailure(new XdrReader(body)));
        else waiter?.resolve(new XdrReader(body));
        return;
      }
      case messageType.event:
        this.#onEvent({ program: header.program, procedure: header.procedure, body: new XdrReader(body) });
        return;
      case messageType.stream:
        this.#onStream(header, body);
        return;
      default:
        throw new Error(`message of unknown type ${header.type}`);
    }
  }

  #onStream(header: MessageHeader, body: Buffer): void {
    const listener = this.#streams.get(header.serial);
    if (listener === undefined) return;
    // An empty data message is libvirt's end of file.
    if (header.status === messageStatus.continue && body.length > 0) return listener.onData(body);
    this.#streams.delete(header.serial);
    listener.onEnd(header.status === messageStatus.error ? decodeFailure(new XdrReader(body)) : null);
  }

  #lose(cause: Error | null): void {
    if (this.#lost !== null) return;
    const error = new AppError(
      "endpoint_unreachable",
      "the connection to the endpoint was lost",
      cause === null ? {} : { cause, internal: cause.message },
    );
    this.#lost = error;
    this.#transport.destroy();
    for (const waiter of this.#waiters.values()) waiter.reject(error);
    for (const listener of this.#streams.values()) listener.onEnd(error);
    for (const sender of this.#stalled.splice(0)) sender.reject(error);
    this.#waiters.clear();
    this.#streams.clear();
    this.#closed.resolve(error);
  }
}

export interface RpcStream {
  /** At most `streamPayloadBytesMax` bytes. Resolves when the connection takes more. */
  send(chunk: Buffer): Promise<void>;
  /** Says that everything was sent; the listener's `onEnd` tells whether the peer took it. */
  finish(): Promise<void>;
  /** Gives up: the peer throws away what it can. */
  abort(): Promise<void>;
  /** Stops and resumes the whole connection: for connections that carry one stream. */
  pause(): void;
  resume(): void;
}
