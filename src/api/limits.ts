/** Limits of the HTTP edge. Everything has one. */
export const apiLimits = {
  bodyBytes: 1024 * 1024,
  /** Requests handled at the same time, streams apart; more get `unavailable`. */
  concurrentRequests: 256,
  /** Event streams of one principal, and of all together. */
  streamsPerPrincipal: 32,
  streams: 512,
  /** Consoles and tunnels of one principal, and of all together. */
  socketsPerPrincipal: 16,
  sockets: 256,
  /** Token bucket of each principal. */
  requestsPerSecond: 500,
  requestBurst: 1_000,
  /** Token bucket of each remote address for requests without a valid token. */
  refusalsPerSecond: 20,
  refusalBurst: 500,
  /** A request that has not answered by then is aborted. */
  requestMs: 30_000,
  /** A command in a guest may take its own limit (at most 60 s) and a little more. */
  execMs: 65_000,
  idempotencyKeyLength: 255,
} as const;
