/**
 * The SDK: the API as typed calls. Types are generated from the OpenAPI document; what a call throws is one of two errors, a problem
 * the server explained or a server that cannot be reached.
 *
 *     const client = makeClient({ url: "http://127.0.0.1:7080", token });
 *     const { items } = await ask(client.GET("/v1/vapps"));
 */
import createClient, { type Client } from "openapi-fetch";
import type { components, paths } from "./schema.generated.ts";

export type Schemas = components["schemas"];
export type Problem = Schemas["Problem"];
export type StratiformClient = Client<paths>;

/** The server refused or failed, and says why. */
export class ProblemError extends Error {
  readonly problem: Problem;

  constructor(problem: Problem) {
    super(problem.detail);
    this.name = "ProblemError";
    this.problem = problem;
  }
}

/** Nobody answers there, or somebody who is no Stratiform. */
export class UnreachableError extends Error {
  readonly url: string;

  constructor(url: string, cause: unknown) {
    super(`nobody answers at ${url}`, { cause });
    this.name = "UnreachableError";
    this.url = url;
  }
}

export interface ClientOptions {
  /** Where the server listens, e.g. `http://127.0.0.1:7080`. */
  readonly url: string;
  readonly token: string;
}

/** Every POST gets an idempotency key of its own unless the caller gives one. */
export function makeClient({ url, token }: ClientOptions): StratiformClient {
  const client = createClient<paths>({ baseUrl: url });
  client.use({
    onRequest({ request }) {
      request.headers.set("authorization", `Bearer ${token}`);
      if (request.method === "POST" && !request.headers.has("idempotency-key")) request.headers.set("idempotency-key", crypto.randomUUID());
      return request;
    },
    async onResponse({ response }) {
      if (!response.ok) throw await problemOf(response, url);
    },
    onError({ error }) {
      return error instanceof ProblemError || error instanceof UnreachableError ? error : new UnreachableError(url, error);
    },
  });
  return client;
}

/** The answer of a call. */
export async function ask<T>(call: Promise<{ data?: T }>): Promise<T> {
  const { data } = await call;
  // A failed call has thrown; an answer without a body is undefined, and its type says so.
  return data as T;
}

export async function problemOf(response: Response, url: string): Promise<ProblemError | UnreachableError> {
  const text = await response.text();
  try {
    const problem = JSON.parse(text) as Problem;
    if (typeof problem.code === "string" && Array.isArray(problem.refusals)) return new ProblemError(problem);
  } catch {
    // Not a document of ours: told apart below.
  }
  return new UnreachableError(url, new Error(`HTTP ${response.status} without a problem document`));
}
