/**
 * LXD's REST API (the same in Incus): requests, background operations and WebSockets on one endpoint, with its errors in our words.
 * Every request is a connection of its own: a kept one may have died with the daemon, and here nobody retries.
 */
import type { IncomingMessage } from "node:http";
import { Readable } from "node:stream";
import { z } from "zod";
import type { CallContext } from "#domain/context.ts";
import { AppError } from "#domain/error.ts";
import { HttpClient, type HttpTarget } from "#lib/http-client.ts";
import { Websocket } from "#lib/websocket.ts";
import { lostError, refusalOf } from "./failure.ts";

/** An answer that takes longer is no answer; long work is an operation, and that is waited for in pieces. */
const requestTimeoutMs = 30_000;
const operationWaitSeconds = 20;
const answerLimitBytes = 64 * 1024 * 1024;

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
  readonly #http: HttpClient;
  readonly #headers: Readonly<Record<string, string>>;
  /** Aborts what is under way when the provider is closed. */
  readonly #closed = new AbortController();

  constructor(target: HttpTarget) {
    this.#http = new HttpClient(target, { keepAlive: false });
    // LXD does not look at it, but HTTP demands a host, and the path of a socket is none.
    this.#headers = "socketPath" in target ? { host: "lxd" } : {};
  }

  close(): void {
    this.#closed.abort(new AppError("cancelled", "The connection to the endpoint was closed"));
    this.#http.close();
  }

  /** Throws `not_found`, `conflict`, `endpoint_busy`, `endpoint_refused`, `endpoint_unreachable`, `timeout` or `cancelled`. */
  async request(ctx: CallContext, method: string, path: string, options: LxdRequest = {}): Promise<LxdAnswer> {
    const signal = this.#signal(ctx, options.timeoutMs ?? requestTimeoutMs);
    const response = await this.#send(method, path, options, signal);
    const answer = parseAnswer(await this.#http.readText(response, answerLimitBytes, signal));
    if (answer.type === "error") throw refusalOf(answer.error_code ?? response.statusCode ?? 500, answer.error ?? "", `${method} ${path}`);
    const operation = answer.type === "async" ? operationSchema.parse(answer.metadata) : null;
    return { metadata: answer.metadata, operation, etag: response.headers["etag"] };
  }

  /** A file of an instance as text; null when there is none. */
  async fileRead(ctx: CallContext, instance: string, path: string): Promise<string | null> {
    const signal = this.#signal(ctx, requestTimeoutMs);
    const response = await this.#send("GET", filePath(instance, path), {}, signal);
    const text = await this.#http.readText(response, answerLimitBytes, signal);
    if (response.statusCode === 404) return null;
    if (response.statusCode === 200) return text;
    throw refusalOf(response.statusCode ?? 500, text, `read ${path}`);
  }

  /** Replaces a file of an instance; root owns it and everybody may read it. */
  async fileWrite(ctx: CallContext, instance: string, path: string, text: string): Promise<void> {
    const headers = { "x-lxd-type": "file", "x-lxd-write": "overwrite", "x-lxd-mode": "0644", "x-lxd-uid": "0", "x-lxd-gid": "0" };
    const bytes = Buffer.from(text);
    await this.request(ctx, "POST", filePath(instance, path), {
      headers,
      stream: { source: Readable.from([bytes]), sizeBytes: bytes.length },
    });
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
    return Websocket.open(this.#http, path, this.#signal(ctx, requestTimeoutMs), this.#headers);
  }

  /** Aborts when the provider is closed: for what lives longer than one request. */
  get closed(): AbortSignal {
    return this.#closed.signal;
  }

  #signal(ctx: CallContext, timeoutMs: number): AbortSignal {
    return AbortSignal.any([ctx.signal, this.#closed.signal, AbortSignal.timeout(timeoutMs)]);
  }

  #send(method: string, path: string, options: LxdRequest, signal: AbortSignal): Promise<IncomingMessage> {
    const { stream } = options;
    const body = stream?.source ?? (options.body === undefined ? "" : JSON.stringify(options.body));
    const length = stream?.sizeBytes ?? Buffer.byteLength(body as string);
    const type = stream === undefined ? "application/json" : "application/octet-stream";
    const headers = length > 0 ? { "content-type": type, "content-length": length } : {};
    return this.#http.send({ method, path, body, headers: { ...this.#headers, ...headers, ...options.headers }, signal });
  }
}

function filePath(instance: string, path: string): string {
  return `/1.0/instances/${encodeURIComponent(instance)}/files?path=${encodeURIComponent(path)}`;
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
