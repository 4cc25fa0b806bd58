/** The few calls the demo makes, with the types the API's own schemas give. */
import { randomUUID } from "node:crypto";
import { AppError, errorCodes, type ErrorCode, type Refusal } from "#domain/error.ts";

const timeoutMs = 60_000;

export class DemoApi {
  readonly #url: string;
  readonly #token: string;
  constructor(url: string, token: string) {
    this.#url = url;
    this.#token = token;
  }

  get<T>(path: string): Promise<T> {
    return this.#call<T>("GET", path);
  }

  /** Null when there is no such thing. */
  find<T>(path: string): Promise<T | null> {
    return this.#call<T>("GET", path).catch((error: unknown) => {
      if (error instanceof AppError && error.code === "not_found") return null;
      throw error;
    });
  }

  put(path: string, body: unknown): Promise<unknown> {
    return this.#call("PUT", path, body);
  }

  /** A fresh idempotency key each time: the demo decides itself what is to be repeated. */
  post<T>(path: string, body: unknown): Promise<T> {
    return this.#call<T>("POST", path, body);
  }

  async #call<T>(method: string, path: string, body?: unknown): Promise<T> {
    const response = await fetch(`${this.#url}${path}`, {
      method,
      headers: {
        authorization: `Bearer ${this.#token}`,
        ...(body === undefined ? {} : { "content-type": "application/json" }),
        ...(method === "POST" ? { "idempotency-key": randomUUID() } : {}),
      },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
      signal: AbortSignal.timeout(timeoutMs),
    });
    const answer = (await response.json().catch(() => null)) as unknown;
    if (response.ok) return answer as T;
    const problem = answer as { code?: string; title?: string; detail?: string; refusals?: Refusal[] } | null;
    const code = problem?.code !== undefined && problem.code in errorCodes ? (problem.code as ErrorCode) : "internal";
    throw new AppError(code, problem?.detail ?? problem?.title ?? `${method} ${path} answered ${response.status}`, {
      detail: problem?.refusals ?? [],
    });
  }
}
