/**
 * Operations as data: each file of this folder that is named after a noun exports a list of them. The server registers what
 * `operations.ts` collects, the OpenAPI document is made of the same list, and so is the SDK: there is no second description.
 */
import type { z } from "zod";
import type { OpenWay } from "#app/access.ts";
import type { AppContext } from "#app/context.ts";
import { AppError } from "#domain/error.ts";

export type Method = "GET" | "POST" | "PUT" | "DELETE";

/** Names between braces of a path: `/v1/vapps/{vapp}` has `vapp`. */
type PathNames<Path extends string> = Path extends `${string}{${infer Name}}${infer Rest}` ? Name | PathNames<Rest> : never;

export interface Request<Path extends string, Query, Body> {
  readonly params: Readonly<Record<PathNames<Path>, string>>;
  readonly query: Query;
  readonly body: Body;
  /** The generation named by `If-Match`, `new` for `If-None-Match: *`; undefined when the request names none. */
  readonly ifGeneration: number | "new" | undefined;
  /** Of the token the request came with. */
  readonly tokenHash: Buffer;
}

export interface Answer<T> {
  readonly body: T;
  /** Becomes the ETag. */
  readonly generation?: number;
  /** Path of what was made. */
  readonly location?: string;
}

interface Definition<Path extends string, Q extends z.ZodType, B extends z.ZodType, A extends z.ZodType> {
  /** Also the operationId of the OpenAPI document: noun, then verb. */
  readonly id: string;
  readonly method: Method;
  readonly path: Path;
  readonly tag: string;
  readonly summary: string;
  readonly description?: string;
  readonly query?: Q;
  readonly body?: B;
  /** Schema of the answer; without one the answer is 204. */
  readonly answer?: A;
  readonly status?: 200 | 201;
  /**
   * A POST that changes something takes an Idempotency-Key. `kept`: a repetition gets the same answer. `secret`: the answer may hold
   * what must not be stored, so a repetition is refused instead of carried out again.
   */
  readonly keyed?: "kept" | "secret";
  /** Takes If-Match and answers with an ETag. */
  readonly guarded?: boolean;
  readonly timeoutMs?: number;
  /** Also answers `Accept: text/event-stream`. */
  readonly streams?: boolean;
  handle(ctx: AppContext, request: Request<Path, z.infer<Q>, z.infer<B>>): Promise<Answer<z.input<A>>>;
  /** What a request answered whose change was committed before its process died; `requestId` is that request's. */
  recover?(ctx: AppContext, requestId: string): Promise<Answer<z.input<A>> | null>;
}

interface SocketDefinition<Path extends string, Q extends z.ZodType> extends Pick<
  Definition<Path, Q, z.ZodType, z.ZodType>,
  "id" | "path" | "tag" | "summary" | "description" | "query"
> {
  /** An empty frame of the client ends its direction alone. */
  readonly halfClose?: boolean;
  /** Opens what the bytes go to; what it throws is the answer instead of the upgrade. Its signal bounds the opening only. */
  socket(ctx: AppContext, request: Pick<Request<Path, z.infer<Q>, unknown>, "params" | "query">): Promise<OpenWay>;
}

export type Operation = Omit<Definition<string, z.ZodType, z.ZodType, z.ZodType>, "handle" | "recover"> & {
  readonly halfClose?: boolean;
  socket?(ctx: AppContext, request: Pick<Request<string, unknown, unknown>, "params" | "query">): Promise<OpenWay>;
  handle(ctx: AppContext, request: Request<string, unknown, unknown>): Promise<Answer<unknown>>;
  recover?(ctx: AppContext, requestId: string): Promise<Answer<unknown> | null>;
};

/** Ties the types of one operation together; the list it goes into forgets them. */
export function operation<const Path extends string, Q extends z.ZodType, B extends z.ZodType, A extends z.ZodType>(
  definition: Definition<Path, Q, B, A>,
): Operation {
  // The server parses query and body with these very schemas, so what was forgotten here holds there.
  return definition as unknown as Operation;
}

/** An operation that becomes a WebSocket; without an upgrade it only says so. */
export function socketOperation<const Path extends string, Q extends z.ZodType>(definition: SocketDefinition<Path, Q>): Operation {
  const handle = (): Promise<never> =>
    Promise.reject(
      new AppError("invalid_input", "this is a WebSocket", {
        detail: [{ constraint: "the request asks for an upgrade", source: "RFC 6455", nearest: "send `Upgrade: websocket`" }],
      }),
    );
  return { method: "GET", ...definition, handle } as unknown as Operation;
}
