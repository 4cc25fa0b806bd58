/**
 * Bytes between a WebSocket and a stream, in both directions, until one side ends. Nothing is kept but what is on its way: a side that
 * does not read stops the other one at its source. Whoever says nothing for too long, does not answer, or is no longer allowed is shown
 * out with a code and a reason.
 *
 * A frame is bytes, text as UTF-8. An empty frame of the client is the end of its input, where the stream knows half an end.
 */
import type { Duplex } from "node:stream";
import type { RawData, WebSocket } from "ws";
import type { Clock } from "#domain/context.ts";

/** How it ended; 4000 and above are ours (RFC 6455, 7.4.2). */
export const closeCodes = {
  ended: 1000,
  serverCloses: 1001,
  frameTooLarge: 1009,
  broken: 1011,
  idle: 4000,
  tooLong: 4001,
  notAllowed: 4003,
} as const;

export interface BridgeTimes {
  /** How often the clocks below are looked at. */
  readonly tickMs: number;
  /** A ping in between keeps proxies from closing what is merely quiet. */
  readonly pingMs: number;
  /** A client that has not answered a ping for so long is gone. */
  readonly silentMs: number;
  /** Without a byte in either direction. */
  readonly idleMs: number;
  readonly sessionMs: number;
  /** How often it is asked whether the session may go on, and how long that may stay unanswered. */
  readonly recheckMs: number;
  readonly unknownMs: number;
  /** How long a closing handshake may take. */
  readonly closeMs: number;
}

export const bridgeTimes: BridgeTimes = {
  tickMs: 1_000,
  pingMs: 20_000,
  silentMs: 90_000,
  idleMs: 15 * 60_000,
  sessionMs: 12 * 60 * 60_000,
  recheckMs: 10_000,
  unknownMs: 60_000,
  closeMs: 2_000,
};

/** Largest frame taken, and how much may wait for a client that reads slowly. */
export const frameBytesMax = 64 * 1024;
const windowBytes = 256 * 1024;

export interface BridgeOptions {
  readonly socket: WebSocket;
  readonly stream: Duplex;
  readonly clock: Clock;
  readonly closing: AbortSignal;
  readonly halfClose: boolean;
  readonly times?: BridgeTimes;
  mayGoOn(): Promise<boolean>;
}

export interface BridgeEnd {
  readonly reason: string;
  readonly durationMs: number;
  readonly bytesIn: number;
  readonly bytesOut: number;
}

/** Resolves when both sides are gone. */
export async function bridge(options: BridgeOptions): Promise<BridgeEnd> {
  return new Bridge(options).run();
}

class Bridge {
  readonly #options: BridgeOptions;
  readonly #times: BridgeTimes;
  readonly #startedAt: number;
  readonly #gone = new AbortController();
  #bytesIn = 0;
  #bytesOut = 0;
  /** Handed to the socket and not yet sent. */
  #waiting = 0;
  #heardAt: number;
  #movedAt: number;
  #pingedAt: number;
  #allowedAt: number;
  #askedAt: number;
  #tickedAt: number;
  #reason: string | null = null;
  #killAt = Number.POSITIVE_INFINITY;

  constructor(options: BridgeOptions) {
    this.#options = options;
    this.#times = options.times ?? bridgeTimes;
    this.#startedAt = options.clock.now();
    this.#heardAt = this.#movedAt = this.#pingedAt = this.#allowedAt = this.#askedAt = this.#tickedAt = this.#startedAt;
  }

  async run(): Promise<BridgeEnd> {
    const { socket, closing, clock } = this.#options;
    this.#listen();
    const onClosing = () => this.#end(closeCodes.serverCloses, "the server closes; connect again", this.#times.closeMs);
    if (closing.aborted) onClosing();
    closing.addEventListener("abort", onClosing, { once: true });
    // A socket that was closed before anybody listened says so only here.
    if (socket.readyState === socket.CLOSED) this.#gone.abort();
    while (!this.#gone.signal.aborted) {
      await clock.sleep(this.#times.tickMs, this.#gone.signal).catch(() => undefined);
      if (!this.#gone.signal.aborted) this.#tick();
    }
    closing.removeEventListener("abort", onClosing);
    this.#options.stream.destroy();
    return {
      reason: this.#reason ?? "the client closed",
      durationMs: clock.now() - this.#startedAt,
      bytesIn: this.#bytesIn,
      bytesOut: this.#bytesOut,
    };
  }

  #listen(): void {
    const { socket, stream } = this.#options;
    const heard = () => void (this.#heardAt = this.#now);
    socket.on("message", (data) => this.#fromClient(data));
    socket.on("pong", heard);
    socket.on("ping", heard);
    socket.on("error", (error) => void (this.#reason ??= errorReason(error)));
    socket.once("close", () => this.#gone.abort());
    stream.on("data", (chunk: Buffer) => this.#fromMachine(chunk));
    stream.on("error", () => this.#end(closeCodes.broken, "the connection to the machine broke", this.#times.closeMs));
    // What the machine said last may still be on its way to a client that reads slowly.
    const ended = () => this.#end(closeCodes.ended, "the machine closed the connection", this.#times.silentMs);
    stream.once("end", ended);
    stream.once("close", ended);
    if (stream.destroyed) ended();
  }

  #fromClient(raw: RawData): void {
    this.#heardAt = this.#movedAt = this.#now;
    const { socket, stream, halfClose } = this.#options;
    // The server side of `ws` hands out Buffers unless told otherwise.
    const data = raw as Buffer;
    if (this.#reason !== null || stream.writableEnded || stream.destroyed) return;
    if (data.length === 0) {
      if (halfClose) stream.end();
      return;
    }
    this.#bytesIn += data.length;
    if (stream.write(data)) return;
    socket.pause();
    stream.once("drain", () => {
      this.#heardAt = this.#now;
      socket.resume();
    });
  }

  #fromMachine(chunk: Buffer): void {
    const { socket, stream } = this.#options;
    if (this.#reason !== null || socket.readyState !== socket.OPEN) return;
    this.#movedAt = this.#now;
    this.#bytesOut += chunk.length;
    this.#waiting += chunk.length;
    if (this.#waiting > windowBytes) stream.pause();
    socket.send(chunk, { binary: true }, () => {
      this.#waiting -= chunk.length;
      this.#movedAt = this.#now;
      if (this.#waiting <= windowBytes / 2 && stream.isPaused()) stream.resume();
    });
  }

  #tick(): void {
    const { socket } = this.#options;
    const now = this.#now;
    if (now >= this.#killAt) return socket.terminate();
    if (this.#reason !== null) return;
    const { pingMs, silentMs, idleMs, sessionMs, recheckMs, unknownMs, closeMs } = this.#times;
    // A process that stood still itself has heard nobody, and must not blame them.
    if (now - this.#tickedAt > silentMs / 2) this.#heardAt = now;
    this.#tickedAt = now;
    // While we do not read, because the machine does not, its answers are not read either.
    if (!socket.isPaused && now - this.#heardAt > silentMs) {
      this.#reason = "the client did not answer";
      return socket.terminate();
    }
    if (now - this.#movedAt > idleMs) return this.#end(closeCodes.idle, `nothing was said for ${seconds(idleMs)}`, closeMs);
    if (now - this.#startedAt > sessionMs) return this.#end(closeCodes.tooLong, `a session lasts at most ${seconds(sessionMs)}`, closeMs);
    if (now - this.#allowedAt > unknownMs) return this.#end(closeCodes.notAllowed, "it cannot be checked who may be here", closeMs);
    if (now - this.#pingedAt >= pingMs && socket.readyState === socket.OPEN) {
      this.#pingedAt = now;
      socket.ping();
    }
    if (now - this.#askedAt >= recheckMs) {
      this.#askedAt = now;
      void this.#ask();
    }
  }

  async #ask(): Promise<void> {
    const asked = this.#now;
    const allowed = await this.#options.mayGoOn().catch(() => null);
    if (allowed === true) this.#allowedAt = asked;
    if (allowed === false) this.#end(closeCodes.notAllowed, "you may not be here any more", this.#times.closeMs);
  }

  #end(code: number, reason: string, patienceMs: number): void {
    if (this.#reason !== null) return;
    const { socket, stream } = this.#options;
    this.#reason = reason;
    this.#killAt = this.#now + patienceMs;
    stream.destroy();
    // A paused socket would never read the other side's half of the handshake.
    socket.resume();
    socket.close(code, reason);
  }

  get #now(): number {
    return this.#options.clock.now();
  }
}

function seconds(ms: number): string {
  return `${Math.round(ms / 1_000)} s`;
}

function errorReason(error: Error): string {
  const { code } = error as NodeJS.ErrnoException;
  return code === "WS_ERR_UNSUPPORTED_MESSAGE_LENGTH" ? `a frame was larger than ${frameBytesMax} bytes` : "the client's connection broke";
}
