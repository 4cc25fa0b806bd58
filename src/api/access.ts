/** Who may come in at all: tokens, and limits of how often and how many at once. What they may do is policy's business. */
import type { Clock } from "#domain/context.ts";
import { AppError } from "#domain/error.ts";
import type { Actor, Platform } from "#app/context.ts";
import { databaseTrouble } from "#app/request.ts";
import { authenticate } from "#app/session.ts";
import { apiLimits } from "#api/limits.ts";

/** The actor behind an Authorization header; throws `unauthenticated` without saying what is wrong with the token. */
export async function actorOf(platform: Platform, authorization: string | undefined): Promise<Actor> {
  const token = /^Bearer +(\S+)$/i.exec(authorization ?? "")?.[1];
  const actor =
    token === undefined ? null : await authenticate(platform, token).catch((error: unknown) => Promise.reject(databaseTrouble(error)));
  if (actor !== null) return actor;
  throw new AppError("unauthenticated", "a valid token is required", {
    detail: [
      {
        constraint: "every request carries a valid token",
        source: "Authorization header",
        nearest: "send `Authorization: Bearer <token>`; the first admin's token is in admin.token of the server's home folder",
      },
    ],
  });
}

const bucketsKept = 10_000;

/** Token buckets by key. A key that was not seen for long has a full bucket, so forgetting it changes nothing. */
export class RateLimiter {
  readonly #clock: Clock;
  readonly #perSecond: number;
  readonly #burst: number;
  readonly #buckets = new Map<string, { left: number; at: number }>();

  constructor(clock: Clock, perSecond: number, burst: number) {
    this.#clock = clock;
    this.#perSecond = perSecond;
    this.#burst = burst;
  }

  /** Throws `too_many_requests` when the bucket is empty. */
  take(key: string): void {
    const now = this.#clock.now();
    const bucket = this.#buckets.get(key) ?? { left: this.#burst, at: now };
    bucket.left = Math.min(this.#burst, bucket.left + ((now - bucket.at) / 1_000) * this.#perSecond);
    bucket.at = now;
    // Re-inserted, so that the map is in order of last use and the first is the one to forget.
    this.#buckets.delete(key);
    this.#buckets.set(key, bucket);
    if (this.#buckets.size > bucketsKept) this.#buckets.delete(this.#buckets.keys().next().value!);
    if (bucket.left < 1) {
      throw new AppError("too_many_requests", "too many requests", {
        detail: [{ constraint: `at most ${this.#perSecond} requests a second`, source: "API limits", nearest: "wait a second" }],
      });
    }
    bucket.left -= 1;
  }
}

/** Counts what is under way. */
export class Occupancy {
  readonly #limit: number;
  readonly #perKey: number;
  readonly #noun: string;
  readonly #held = new Map<string, number>();
  #total = 0;

  constructor(noun: string, limit: number, perKey: number = limit) {
    this.#noun = noun;
    this.#limit = limit;
    this.#perKey = perKey;
  }

  /** Returns how to leave again; throws `too_many_requests` when `key` holds too many and `unavailable` when all together do. */
  enter(key: string): () => void {
    const mine = this.#held.get(key) ?? 0;
    if (mine >= this.#perKey) throw this.#full("too_many_requests", this.#perKey);
    if (this.#total >= this.#limit) throw this.#full("unavailable", this.#limit);
    this.#total += 1;
    this.#held.set(key, mine + 1);
    let left = false;
    return () => {
      if (left) return;
      left = true;
      this.#total -= 1;
      const rest = this.#held.get(key)! - 1;
      if (rest === 0) this.#held.delete(key);
      else this.#held.set(key, rest);
    };
  }

  #full(code: "too_many_requests" | "unavailable", limit: number): AppError {
    return new AppError(code, `too many ${this.#noun} at the same time`, {
      detail: [
        {
          constraint: `at most ${limit} ${this.#noun} at the same time`,
          source: "API limits",
          nearest: "close some, or try again in a moment",
        },
      ],
    });
  }
}

export function makeLimits(clock: Clock) {
  return {
    principal: new RateLimiter(clock, apiLimits.requestsPerSecond, apiLimits.requestBurst),
    refusal: new RateLimiter(clock, apiLimits.refusalsPerSecond, apiLimits.refusalBurst),
    requests: new Occupancy("requests", apiLimits.concurrentRequests),
    sockets: new Occupancy("consoles and tunnels", apiLimits.sockets, apiLimits.socketsPerPrincipal),
    streams: new Occupancy("event streams", apiLimits.streams, apiLimits.streamsPerPrincipal),
  };
}
export type Limits = ReturnType<typeof makeLimits>;
