/** JSON over HTTP on a unix socket: the agent's API and LXD's speak it. One request, one answer; no retries here. */
import { request } from "node:http";
import type { IncomingMessage } from "node:http";
import { AppError } from "#domain/error.ts";

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
  return await unixStream(options, async (response) => {
    const text = await readText(response);
    try {
      return { status: response.statusCode ?? 0, body: text === "" ? undefined : JSON.parse(text) };
    } catch (cause) {
      throw new AppError("endpoint_refused", `${options.socket} gave an answer that is not JSON`, { cause });
    }
  });
}

/** As `unixRequest`, but hands out the response to be read piece by piece. The time limit covers the reading too. */
export async function unixStream<T>(options: UnixRequest, read: (response: IncomingMessage) => Promise<T>): Promise<T> {
  const timeout = AbortSignal.timeout(options.timeoutMs ?? 30_000);
  const signal = options.signal === undefined ? timeout : AbortSignal.any([options.signal, timeout]);
  const payload = options.body === undefined ? undefined : Buffer.from(JSON.stringify(options.body));
  const headers = payload === undefined ? {} : { "content-type": "application/json", "content-length": payload.length };
  try {
    const response = await new Promise<IncomingMessage>((resolve, reject) => {
      const outgoing = request({ socketPath: options.socket, method: options.method, path: options.path, headers, signal });
      outgoing.once("response", resolve);
      outgoing.once("error", reject);
      outgoing.end(payload);
    });
    return await read(response);
  } catch (cause) {
    if (cause instanceof AppError) throw cause;
    if (options.signal?.aborted) throw options.signal.reason;
    if (timeout.aborted) throw new AppError("timeout", `${options.method} ${options.path} was not answered in time`, { cause });
    throw new AppError("endpoint_unreachable", `${options.socket} does not answer`, { cause, internal: String(cause) });
  }
}

async function readText(response: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  for await (const chunk of response) {
    bytes += (chunk as Buffer).length;
    if (bytes > answerLimitBytes) throw new AppError("endpoint_refused", "the answer is too large");
    chunks.push(chunk as Buffer);
  }
  return Buffer.concat(chunks).toString();
}
