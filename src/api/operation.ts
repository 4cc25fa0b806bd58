/**
 * Operations as data: each file of this folder that is named after a noun exports a list of them. The server registers what
 * `operations.ts` collects, the OpenAPI document is made of the same list, and so is the SDK: there is no second description.
 */
import type { z } from "zod";
import type { AppContext } from "#app/context.ts";

export type Method = "GET" | "POST" | "PUT" | "DELETE";

/** Names between braces of a path: `/v1/vapps/{vapp}` has `vapp`. */
type PathNames<Path extends string> = Path extends `${string}{${infer Name}}${infer Rest}` ? Name | PathNames<Rest> : never;

export interface Request<Path extends string, Query, Body> {
  readonly params: Readonly<Record<PathNames<Path>, string>>;
  readonly query: Query;
  readonly body: Body;
  /** The generation named by `If-Match`, `new` for `If-None-Match: *`; undefined when the request names none. */
  readonly ifGeneration: number | "new" | undefined;
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

export type Operation = Omit<Definition<string, z.ZodType, z.ZodType, z.ZodType>, "handle" | "recover"> & {
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
