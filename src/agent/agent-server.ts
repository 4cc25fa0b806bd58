/** The agent's API: HTTP/JSON on a unix socket that only its owner can open. Routes, errors and nothing else. */
import { createServer } from "node:http";
import type { IncomingMessage, Server, ServerResponse } from "node:http";
import type { Duplex } from "node:stream";
import type { Socket } from "node:net";
import { z } from "zod";
import type { Log } from "#domain/context.ts";
import { AppError, errorCodes, isAppError } from "#domain/error.ts";
import type { ErrorCode } from "#domain/error.ts";
import type { ReachTarget } from "#fabric/contract.ts";

const bodyLimitBytes = 1024 * 1024;

/** One request, parsed as far as every route needs it. */
export interface AgentRequest {
  readonly path: string;
  /** What the route's pattern captured. */
  readonly name: string;
  readonly query: URLSearchParams;
  readonly body: unknown;
  /** Aborts when the caller goes away. */
  readonly signal: AbortSignal;
}

export interface AgentRoute {
  readonly method: "GET" | "PUT" | "POST" | "DELETE";
  /** A last part `:name` captures one path part. */
  readonly path: string;
  /** Returns the JSON answer; undefined is 204. */
  readonly handle?: (request: AgentRequest) => Promise<unknown>;
  /** For long work: `emit` writes one line of NDJSON at once, the result is the last line. Errors become a last line `{error}`. */
  readonly stream?: (request: AgentRequest, emit: (line: object) => void) => Promise<object>;
}

/** Opens a raw path into a segment for `GET /v1/reach` with `Upgrade: stratiform-reach`. */
export type ReachHandler = (target: ReachTarget) => Promise<Duplex>;

const reachSchema = z.object({ segment: z.string(), address: z.ipv4(), port: z.coerce.number().int().min(1).max(65_535) });

export function makeAgentServer(routes: readonly AgentRoute[], reach: ReachHandler, log: Log): Server {
  const server = createServer((request, response) => {
    void answer(routes, request, response, log);
  });
  server.on("upgrade", (request: IncomingMessage, socket: Socket, head: Buffer) => {
    void upgrade(reach, request, socket, head);
  });
  server.requestTimeout = 0; // A site takes as long as it takes; callers have their own limits.
  return server;
}

async function answer(routes: readonly AgentRoute[], request: IncomingMessage, response: ServerResponse, log: Log): Promise<void> {
  const aborted = new AbortController();
  response.once("close", () => aborted.abort(new AppError("cancelled", "the caller went away")));
  try {
    const url = new URL(request.url ?? "/", "http://agent");
    const { route, name } = routeFind(routes, request.method ?? "", url.pathname);
    const body = await readBody(request);
    const parsed: AgentRequest = { path: url.pathname, name, query: url.searchParams, body, signal: aborted.signal };
    if (route.stream !== undefined) return await answerStream(route.stream, parsed, response, log);
    const result = await route.handle?.(parsed);
    if (result === undefined) return void response.writeHead(204).end();
    writeJson(response, 200, result);
  } catch (cause) {
    const error = toAppError(cause, log);
    writeJson(response, httpStatus(error.code), problemOf(error));
  }
}

async function answerStream(
  stream: NonNullable<AgentRoute["stream"]>,
  request: AgentRequest,
  response: ServerResponse,
  log: Log,
): Promise<void> {
  response.writeHead(200, { "content-type": "application/x-ndjson" });
  const emit = (line: object) => void (response.writableEnded || response.write(`${JSON.stringify(line)}\n`));
  try {
    emit(await stream(request, emit));
  } catch (cause) {
    emit({ error: problemOf(toAppError(cause, log)) });
  }
  response.end();
}

async function upgrade(reach: ReachHandler, request: IncomingMessage, socket: Socket, head: Buffer): Promise<void> {
  socket.on("error", () => socket.destroy());
  try {
    const url = new URL(request.url ?? "/", "http://agent");
    if (url.pathname !== "/v1/reach" || request.headers.upgrade !== "stratiform-reach") throw new AppError("not_found", "no such route");
    const target = bodyParse(reachSchema, Object.fromEntries(url.searchParams));
    const inner = await reach(target);
    if (socket.destroyed) return void inner.destroy();
    socket.write("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: stratiform-reach\r\n\r\n");
    socket.setTimeout(0);
    if (head.length > 0) inner.write(head);
    inner.on("error", () => socket.destroy());
    inner.once("close", () => socket.destroySoon());
    socket.once("close", () => inner.destroy());
    socket.pipe(inner);
    inner.pipe(socket);
  } catch (cause) {
    const error = isAppError(cause) ? cause : new AppError("internal", "reach failed", { cause });
    const text = JSON.stringify(problemOf(error));
    const lines = [
      `HTTP/1.1 ${httpStatus(error.code)} Refused`,
      "Content-Type: application/json",
      `Content-Length: ${Buffer.byteLength(text)}`,
    ];
    socket.end(`${lines.join("\r\n")}\r\nConnection: close\r\n\r\n${text}`);
  }
}

function routeFind(routes: readonly AgentRoute[], method: string, path: string): { route: AgentRoute; name: string } {
  let known = false;
  for (const route of routes) {
    const prefix = route.path.endsWith("/:name") ? route.path.slice(0, -":name".length) : null;
    const name = prefix !== null && path.startsWith(prefix) ? decodeURIComponent(path.slice(prefix.length)) : "";
    if (prefix === null ? path !== route.path : name === "" || name.includes("/")) continue;
    known = true;
    if (route.method === method) return { route, name };
  }
  throw known ? new AppError("invalid_input", `${method} is not possible on ${path}`) : new AppError("not_found", `there is no ${path}`);
}

async function readBody(request: IncomingMessage): Promise<unknown> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  for await (const chunk of request) {
    bytes += (chunk as Buffer).length;
    if (bytes > bodyLimitBytes) throw new AppError("invalid_input", `a request has at most ${bodyLimitBytes} bytes`);
    chunks.push(chunk as Buffer);
  }
  if (bytes === 0) return undefined;
  try {
    return JSON.parse(Buffer.concat(chunks).toString());
  } catch (cause) {
    throw new AppError("invalid_input", "the request is not JSON", { cause });
  }
}

/** Parses what a caller sent; each problem becomes a refusal naming its place. */
export function bodyParse<T>(schema: z.ZodType<T>, body: unknown): T {
  const parsed = schema.safeParse(body);
  if (parsed.success) return parsed.data;
  const detail = parsed.error.issues.map((issue) => ({
    constraint: issue.message,
    source: `agent API: ${issue.path.join(".") || "request"}`,
    nearest: "send it as the API describes",
  }));
  throw new AppError("invalid_input", "the request is not valid", { detail });
}

function toAppError(cause: unknown, log: Log): AppError {
  const error = isAppError(cause) ? cause : new AppError("internal", "the agent failed", { cause, internal: String(cause) });
  if (error.code === "internal") {
    const stack = cause instanceof Error ? cause.stack : undefined;
    log.error({ internal: error.internal, stack }, "request failed");
  }
  return error;
}

function problemOf(error: AppError): object {
  return { code: error.code, message: error.message, detail: error.detail };
}

function httpStatus(code: ErrorCode): number {
  if (code === "invalid_input") return 400;
  if (code === "not_found") return 404;
  if (code === "conflict" || code === "not_ours") return 409;
  return errorCodes[code].retryable ? 503 : 500;
}

function writeJson(response: ServerResponse, status: number, body: unknown): void {
  if (!response.headersSent) response.writeHead(status, { "content-type": "application/json" }).end(JSON.stringify(body));
}
