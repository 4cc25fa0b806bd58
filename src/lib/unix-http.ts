/** One JSON request on a unix socket, without a connection that is kept: how the agent's API and LXD's are asked in passing. No retries. */
import type { IncomingMessage } from "node:http";
import { AppError } from "#domain/error.ts";
import { HttpClient } from "#lib/http-client.ts";

const answerLimitBytes = 16 * 1024 * 1024;

export interface UnixRequest {
  readonly socket: string;
  readonly method: string;
  readonly path: string;
  readonly body?: unknown;
  /** Limit for the whole exchange; default 30 000. */
  readonly timeoutMs?: number;
  readonly signal?: AbortSignal;
}

export interface UnixAnswer {
  readonly status: number;
  /** Undefined when the answer has no body. */
  readonly body: unknown;
}

/** `endpoint_unreachable` when nobody answers, `timeout` at the limit, `endpoint_refused` when the answer is not JSON. */
export async function unixRequest(options: UnixRequest): Promise<UnixAnswer> {
  return await exchange(options, async (response, http, signal) => {
    const text = await http.readText(response, answerLimitBytes, signal);
    try {
      return { status: response.statusCode ?? 0, body: text === "" ? undefined : JSON.parse(text) };
    } catch (cause) {
      throw new AppError("endpoint_refused", `${options.socket} gave an answer that is not JSON`, { cause });
    }
  });
}

/** As `unixRequest`, but hands out the response to be read piece by piece. The time limit covers the reading too. */
export async function unixStream<T>(options: UnixRequest, read: (response: IncomingMessage) => Promise<T>): Promise<T> {
  return await exchange(options, read);
}

async function exchange<T>(
  options: UnixRequest,
  read: (response: IncomingMessage, http: HttpClient, signal: AbortSignal) => Promise<T>,
): Promise<T> {
  const timeout = AbortSignal.timeout(options.timeoutMs ?? 30_000);
  const signal = options.signal === undefined ? timeout : AbortSignal.any([options.signal, timeout]);
  const http = new HttpClient({ socketPath: options.socket }, { keepAlive: false });
  const body = options.body === undefined ? undefined : Buffer.from(JSON.stringify(options.body));
  const headers = body === undefined ? {} : { "content-type": "application/json", "content-length": body.length };
  try {
    const request = { method: options.method, path: options.path, headers, signal };
    return await read(await http.send(body === undefined ? request : { ...request, body }), http, signal);
  } catch (cause) {
    // The caller's own reason, whatever it is.
    if (options.signal?.aborted) throw options.signal.reason;
    if (cause instanceof AppError) throw cause;
    if (timeout.aborted) throw new AppError("timeout", `${options.method} ${options.path} was not answered in time`, { cause });
    throw new AppError("endpoint_unreachable", `${options.socket} does not answer`, { cause, internal: String(cause) });
  } finally {
    http.close();
  }
}
