/**
 * Calls on a unix socket: how the control plane talks to the simulated site. The body of a call is JSON, an answer is
 * `{"result"}` or `{"error":{"code","message"}}`, which becomes the same AppError on this side. No retries.
 */
import type { IncomingMessage } from "node:http";
import type { Duplex, Readable } from "node:stream";
import { AppError, errorCodes, type ErrorCode } from "#domain/error.ts";
import { HttpClient } from "#lib/http-client.ts";

const answerLimitBytes = 256 * 1024 * 1024;

export class SocketHttp {
  readonly #http: HttpClient;
  /** For what lives long: it must not take the place of calls. */
  readonly #streams: HttpClient;

  constructor(socketPath: string) {
    this.#http = new HttpClient({ socketPath }, { keepAlive: true });
    this.#streams = new HttpClient({ socketPath }, { keepAlive: false });
  }

  /** Posts `body` and returns the parsed `result` of the answer. */
  async call(path: string, body: unknown, signal: AbortSignal): Promise<unknown> {
    const answer = await this.#answerOf(await post(this.#http, path, body, signal), signal);
    if (answer.error !== undefined) throw errorOf(answer.error);
    return answer.result;
  }

  /** Posts `body` and returns the answer's body as it comes in, on a connection of its own. The caller reads or destroys it. */
  async stream(path: string, body: unknown, signal: AbortSignal): Promise<Readable> {
    const response = await post(this.#streams, path, body, signal);
    if (response.statusCode === 200) return response;
    throw errorOf((await this.#answerOf(response, signal)).error);
  }

  /** Asks for a raw byte stream (HTTP upgrade). `signal` bounds the opening only, not the life of the stream. */
  async upgrade(path: string, query: Record<string, string | number>, signal: AbortSignal): Promise<Duplex> {
    const search = new URLSearchParams(Object.entries(query).map(([key, value]): [string, string] => [key, String(value)]));
    const headers = { connection: "Upgrade", upgrade: "tcp" };
    const { response, socket } = await this.#streams.upgrade({ method: "GET", path: `${path}?${search.toString()}`, headers, signal });
    if (socket !== null) return socket;
    throw errorOf((await this.#answerOf(response, signal)).error);
  }

  close(): void {
    this.#http.close();
  }

  async #answerOf(response: IncomingMessage, signal: AbortSignal): Promise<Answer> {
    const text = await this.#http.readText(response, answerLimitBytes, signal);
    try {
      return JSON.parse(text) as Answer;
    } catch (cause) {
      throw new AppError("endpoint_refused", "the endpoint's answer is not JSON", { cause, internal: text.slice(0, 500) });
    }
  }
}

function post(http: HttpClient, path: string, body: unknown, signal: AbortSignal): Promise<IncomingMessage> {
  const text = JSON.stringify(body ?? {});
  const headers = { "content-type": "application/json", "content-length": Buffer.byteLength(text) };
  return http.send({ method: "POST", path, headers, body: text, signal });
}

interface Answer {
  readonly result?: unknown;
  readonly error?: unknown;
}

function errorOf(error: unknown): AppError {
  const { code, message } = (error ?? {}) as { code?: unknown; message?: unknown };
  if (typeof code === "string" && Object.hasOwn(errorCodes, code)) return new AppError(code as ErrorCode, String(message));
  return new AppError("endpoint_refused", "the endpoint refused the request", { internal: JSON.stringify(error) });
}
