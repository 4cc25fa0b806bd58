/**
 * LXD's REST API (the same in Incus): requests, background operations and WebSockets on one endpoint, with its errors in our words.
 * Every request is a connection of its own: a kept one may have died with the daemon, and here nobody retries.
 */
import { request, type IncomingMessage, type RequestOptions } from "node:http";
import type { Readable } from "node:stream";
import { z } from "zod";
import type { CallContext } from "#domain/context.ts";
import { AppError } from "#domain/error.ts";
import { abortError } from "#lib/abort.ts";
import { Websocket } from "#lib/websocket.ts";
import { lostError, refusalOf } from "./failure.ts";

/** An answer that takes longer is no answer; long work is an operation, and that is waited for in pieces. */
const requestTimeoutMs = 30_000;
const operationWaitSeconds = 20;
const answerLimitBytes = 64 * 1024 * 1024;

/** How to reach the endpoint. A second member for HTTPS with a client certificate would hold host, port, cert, key and ca. */
export interface LxdTarget {
  readonly socketPath: string;
}

const answerSchema = z.object({
  type: z.enum(["sync", "async", "error"]),
  operation: z.string().optional(),
  error: z.string().optional(),
  error_code: z.number().optional(),
  metadata: z.unknown(),
});

export const operationSchema = z.object({
  id: z.string(),
  class: z.string(),
  description: z.string().catch(""),
  status_code: z.number(),
  err: z.string().catch(""),
  resources: z.record(z.string(), z.array(z.string()).nullable()).nullish(),
  metadata: z.record(z.string(), z.unknown()).nullish(),
});
export type Operation = z.output<typeof operationSchema>;

/** `status_code` of operations: 1xx running, 200 success, 4xx failed or cancelled. */
const firstFinishedStatus = 200;
const successStatus = 200;

export interface LxdAnswer {
  readonly metadata: unknown;
  /** Set when the work goes on in the background. */
  readonly operation: Operation | null;
  readonly etag: string | undefined;
}

export interface LxdRequest {
  readonly body?: unknown;
  /** Raw body instead of JSON. */
  readonly stream?: { readonly source: Readable; readonly sizeBytes: number };
  readonly headers?: Readonly<Record<string, string>>;
  readonly timeoutMs?: number;
}

export class LxdConnection {
  readonly #target: LxdTarget;
  /** Aborts what is under way when the provider is closed. */
  readonly #closed = new AbortController();

  constructor(target: LxdTarget) {
    this.#target = target;
  }

  close(): void {
    this.#closed.abort(new AppError("cancelled", "The connection to the endpoint was closed"));
  }

  /** Throws `not_found`, `conflict`, `endpoint_busy`, `endpoint_refused`, `endpoint_unreachable`, `timeout` or `cancelled`. */
  async request(ctx: CallContext, method: string, path: string, options: LxdRequest = {}): Promise<LxdAnswer> {
    const signal = this.#signal(ctx, options.timeoutMs ?? requestTimeoutMs);
    const response = await this.#send(method, path, options, signal);
    const answer = parseAnswer(await readText(response, signal));
    if (answer.type === "error") throw refusalOf(answer.error_code ?? response.statusCode ?? 500, answer.error ?? "", `${method} ${path}`);
    const operation = answer.type === "async" ? operationSchema.parse(answer.metadata) : null;
    return { metadata: answer.metadata, operation, etag: response.headers["etag"] };
  }

  async get<S extends z.ZodType>(ctx: CallContext, path: string, schema: S): Promise<z.output<S>> {
    const { metadata } = await this.request(ctx, "GET", path);
    return parseMetadata(schema, metadata, path);
  }

  /** Requests and, when the work goes on in the background, waits for its end. Null for work that was done at once. */
  async perform(ctx: CallContext, method: string, path: string, options: LxdRequest = {}): Promise<Operation | null> {
    const { operation } = await this.request(ctx, method, path, options);
    return operation === null ? null : await this.wait(ctx, operation.id);
  }

  /** Waits until the operation ended; throws what it failed with. */
  async wait(ctx: CallContext, id: string): Promise<Operation> {
    for (;;) {
      const path = `/1.0/operations/${id}/wait?timeout=${operationWaitSeconds}`;
      let operation: Operation;
      try {
        const answer = await this.request(ctx, "GET", path, { timeoutMs: requestTimeoutMs + operationWaitSeconds * 1000 });
        operation = parseMetadata(operationSchema, answer.metadata, path);
      } catch (cause) {
        // Operations are forgotten a few seconds after their end, and all of them when the daemon restarts: the outcome is not known.
        if (cause instanceof AppError && cause.code === "not_found") throw lostError(cause);
        throw cause;
      }
      if (operation.status_code < firstFinishedStatus) continue;
      if (operation.status_code !== successStatus) throw refusalOf(operation.status_code, operation.err, operation.description);
      return operation;
    }
  }

  /** Waits for the end of other callers' background work on an instance whose description matches, whatever its outcome. */
  async settle(ctx: CallContext, instance: string, description: RegExp): Promise<void> {
    const byStatus = await this.get(ctx, "/1.0/operations?recursion=1", z.record(z.string(), z.array(operationSchema).nullable()));
    for (const operation of Object.values(byStatus).flatMap((list) => list ?? [])) {
      const resources = Object.values(operation.resources ?? {}).flatMap((list) => list ?? []);
      const concerns = resources.some((path) => path.split("?")[0]?.endsWith(`/${instance}`));
      if (!concerns || operation.status_code >= firstFinishedStatus || !description.test(operation.description)) continue;
      try {
        await this.wait(ctx, operation.id);
      } catch (error) {
        if (ctx.signal.aborted) throw error;
        ctx.log.debug({ instance, operation: operation.description }, "work of another caller failed");
      }
    }
  }

  websocket(ctx: CallContext, path: string): Promise<Websocket> {
    return Websocket.open(this.#options("GET", path, {}), this.#signal(ctx, requestTimeoutMs));
  }

  /** Aborts when the provider is closed: for what lives longer than one request. */
  get closed(): AbortSignal {
    return this.#closed.signal;
  }

  #signal(ctx: CallContext, timeoutMs: number): AbortSignal {
    return AbortSignal.any([ctx.signal, this.#closed.signal, AbortSignal.timeout(timeoutMs)]);
  }

  #options(method: string, path: string, headers: Record<string, string>): RequestOptions {
    return { socketPath: this.#target.socketPath, method, path, headers: { host: "lxd", ...headers }, agent: false };
  }

  #send(method: string, path: string, options: LxdRequest, signal: AbortSignal): Promise<IncomingMessage> {
    return new Promise((resolve, reject) => {
      if (signal.aborted) return reject(abortError(signal));
      const text = options.body === undefined ? "" : JSON.stringify(options.body);
      const length = options.stream?.sizeBytes ?? Buffer.byteLength(text);
      const type = options.stream === undefined ? "application/json" : "application/octet-stream";
      const headers = length > 0 ? { "content-type": type, "content-length": String(length) } : {};
      const sent = request(this.#options(method, path, { ...headers, ...options.headers }));
      const onAbort = () => sent.destroy(abortError(signal));
      signal.addEventListener("abort", onAbort, { once: true });
      sent.on("close", () => signal.removeEventListener("abort", onAbort));
      sent.on("response", resolve);
      sent.on("error", (cause) => reject(cause instanceof AppError ? cause : lostError(cause)));
      if (options.stream === undefined) return void sent.end(text);
      options.stream.source.on("error", (cause) => sent.destroy(new AppError("internal", "The image file cannot be read", { cause })));
      options.stream.source.pipe(sent);
    });
  }
}

async function readText(response: IncomingMessage, signal: AbortSignal): Promise<string> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  try {
    for await (const chunk of response as AsyncIterable<Buffer>) {
      bytes += chunk.length;
      if (bytes > answerLimitBytes) throw new AppError("endpoint_refused", "The endpoint's answer is too long");
      chunks.push(chunk);
    }
  } catch (cause) {
    if (cause instanceof AppError) throw cause;
    throw signal.aborted ? abortError(signal) : lostError(cause);
  }
  return Buffer.concat(chunks).toString();
}

function parseAnswer(text: string): z.output<typeof answerSchema> {
  try {
    return answerSchema.parse(JSON.parse(text));
  } catch (cause) {
    throw new AppError("endpoint_refused", "The endpoint does not speak LXD's protocol", { cause, internal: text.slice(0, 300) });
  }
}

export function parseMetadata<S extends z.ZodType>(schema: S, metadata: unknown, path: string): z.output<S> {
  const result = schema.safeParse(metadata);
  if (result.success) return result.data;
  throw new AppError("endpoint_refused", "The endpoint answered in an unexpected form", { cause: result.error, internal: path });
}
