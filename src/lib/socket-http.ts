/**
 * JSON over HTTP on a unix socket: how the control plane talks to processes of its own make (simulated site, host agent). No retry.
 * A broken or missing connection is `endpoint_unreachable` (the work may have been done), an abort is `timeout` or `cancelled`, and an
 * answer `{"error":{"code","message"}}` becomes the same AppError on this side.
 */
import { Agent, request, type ClientRequest, type IncomingMessage } from "node:http";
import type { Duplex, Readable } from "node:stream";
import { AppError, errorCodes, type ErrorCode } from "#domain/error.ts";

const answerLimitBytes = 256 * 1024 * 1024;

export class SocketHttp {
  readonly #socketPath: string;
  readonly #agent = new Agent({ keepAlive: true, maxSockets: 64 });

  constructor(socketPath: string) {
    this.#socketPath = socketPath;
  }

  /** Posts `body` and returns the parsed `result` of the answer. */
  async call(path: string, body: unknown, signal: AbortSignal): Promise<unknown> {
    const response = await this.#respond(path, body, signal, this.#agent);
    const answer = parseAnswer(await readAll(response, signal, this.#socketPath));
    if (answer.error !== undefined) throw errorOf(answer.error);
    return answer.result;
  }

  /** Posts `body` and returns the answer's body as it comes in, on a connection of its own. The caller reads or destroys it. */
  async stream(path: string, body: unknown, signal: AbortSignal): Promise<Readable> {
    const response = await this.#respond(path, body, signal, new Agent({ maxSockets: 1 }));
    if (response.statusCode === 200) return response;
    const answer = parseAnswer(await readAll(response, signal, this.#socketPath));
    throw errorOf(answer.error);
  }

  /** Asks for a raw byte stream (HTTP upgrade). `signal` bounds the opening only, not the life of the stream. */
  upgrade(path: string, query: Record<string, string | number>, signal: AbortSignal): Promise<Duplex> {
    const search = new URLSearchParams(Object.entries(query).map(([key, value]): [string, string] => [key, String(value)]));
    return new Promise((resolve, reject) => {
      if (signal.aborted) return reject(abortError(signal));
      const sent = request({
        socketPath: this.#socketPath,
        path: `${path}?${search.toString()}`,
        headers: { connection: "Upgrade", upgrade: "tcp" },
        agent: false,
      });
      const unbind = bindAbort(sent, signal);
      sent.on("upgrade", (_response, socket, head) => {
        unbind();
        if (head.length > 0) socket.unshift(head);
        resolve(socket);
      });
      sent.on("response", (response) => {
        readAll(response, signal, this.#socketPath)
          .finally(unbind)
          .then((text) => reject(errorOf(parseAnswer(text).error)), reject);
      });
      sent.on("error", (cause) => {
        unbind();
        reject(signal.aborted ? abortError(signal) : unreachableError(this.#socketPath, cause));
      });
      sent.end();
    });
  }

  close(): void {
    this.#agent.destroy();
  }

  #respond(path: string, body: unknown, signal: AbortSignal, agent: Agent): Promise<IncomingMessage> {
    return new Promise((resolve, reject) => {
      if (signal.aborted) return reject(abortError(signal));
      const text = JSON.stringify(body ?? {});
      const headers = { "content-type": "application/json", "content-length": Buffer.byteLength(text) };
      const sent = request({ socketPath: this.#socketPath, path, method: "POST", headers, agent });
      const unbind = bindAbort(sent, signal);
      sent.on("response", (response) => {
        response.once("close", unbind);
        resolve(response);
      });
      sent.on("error", (cause) => {
        unbind();
        reject(signal.aborted ? abortError(signal) : unreachableError(this.#socketPath, cause));
      });
      sent.end(text);
    });
  }
}

function bindAbort(sent: ClientRequest, signal: AbortSignal): () => void {
  const onAbort = () => sent.destroy(abortError(signal));
  signal.addEventListener("abort", onAbort, { once: true });
  return () => signal.removeEventListener("abort", onAbort);
}

/** The caller's own reason when it is one of ours; otherwise what an expired or withdrawn signal means. */
function abortError(signal: AbortSignal): AppError {
  const reason: unknown = signal.reason;
  if (reason instanceof AppError) return reason;
  const expired = reason instanceof DOMException && reason.name === "TimeoutError";
  return expired
    ? new AppError("timeout", "the endpoint did not answer in time", { cause: reason })
    : new AppError("cancelled", "the call was cancelled", { cause: reason });
}

function unreachableError(socketPath: string, cause: unknown): AppError {
  return new AppError("endpoint_unreachable", "the endpoint does not answer", { cause, internal: `${socketPath}: ${String(cause)}` });
}

async function readAll(response: IncomingMessage, signal: AbortSignal, socketPath: string): Promise<string> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  try {
    for await (const chunk of response as AsyncIterable<Buffer>) {
      bytes += chunk.length;
      if (bytes > answerLimitBytes) throw new AppError("endpoint_refused", "the endpoint's answer is too long");
      chunks.push(chunk);
    }
  } catch (cause) {
    if (cause instanceof AppError) throw cause;
    throw signal.aborted ? abortError(signal) : unreachableError(socketPath, cause);
  }
  return Buffer.concat(chunks).toString();
}

interface Answer {
  readonly result?: unknown;
  readonly error?: unknown;
}

function parseAnswer(text: string): Answer {
  try {
    return JSON.parse(text) as Answer;
  } catch (cause) {
    throw new AppError("endpoint_refused", "the endpoint's answer is not JSON", { cause, internal: text.slice(0, 500) });
  }
}

function errorOf(error: unknown): AppError {
  const { code, message } = (error ?? {}) as { code?: unknown; message?: unknown };
  if (typeof code === "string" && Object.hasOwn(errorCodes, code)) return new AppError(code as ErrorCode, String(message));
  return new AppError("endpoint_refused", "the endpoint refused the request", { internal: JSON.stringify(error) });
}
