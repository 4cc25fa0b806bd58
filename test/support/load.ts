/**
 * An open-loop load generator for acceptance tests: requests start at fixed times, whether or not earlier ones were answered, so an
 * endpoint that stalls is seen by every request that would have come meanwhile. Latency counts from the time a request was to start, not
 * from when it could (no coordinated omission). Half of the requests go over connections that stay open, half each over a new one.
 *
 * Anything but a complete answer with status 200 and the expected body is a failure, nothing is repeated, and what could not even be sent counts too.
 * `latestStartMs` says how late the generator itself was at worst: figures of a run where it is large say little.
 *
 *     const load = openLoad({ host, port, paths: ["/"], ratePerSecond: 200 });
 *     ...
 *     const report = await load.stop();       // waits for what is in flight
 *     expect(report.failures).toEqual([]);
 */
import http from "node:http";
import { performance } from "node:perf_hooks";

export interface LoadOptions {
  readonly host: string;
  readonly port: number;
  /** The n-th request asks for `paths[n % paths.length]`. */
  readonly paths: readonly string[];
  readonly ratePerSecond: number;
  /** From the intended start to the last byte. Default 10 000. */
  readonly timeoutMs?: number;
  /** Connections that stay open. Default 16. */
  readonly connections?: number;
  /** Substring every body must hold; status must be 200 in any case. */
  readonly bodyHas?: string;
}

export type LoadHalf = "kept" | "new";

export interface LoadFailure {
  readonly half: LoadHalf;
  readonly path: string;
  /** Since the start of the load, when it should have started and when it had failed. */
  readonly startMs: number;
  readonly endMs: number;
  readonly reason: string;
}

export interface LoadReport {
  readonly sent: number;
  readonly ok: number;
  readonly failed: number;
  /** The first of them. */
  readonly failures: readonly LoadFailure[];
  readonly durationMs: number;
  readonly latestStartMs: number;
  readonly latencyMs: { readonly p50: number; readonly p95: number; readonly p99: number; readonly max: number };
  /** How often each `x-served-by` answered. */
  readonly servedBy: Readonly<Record<string, number>>;
}

export interface Load {
  /** So far. */
  counts(): { readonly sent: number; readonly ok: number; readonly failed: number };
  /** No new requests; waits for those in flight. */
  stop(): Promise<LoadReport>;
}

const tickMs = 2;
const failuresKept = 100;
const inFlightMax = 5_000;
const defaultTimeoutMs = 10_000;
const bodyCharsMax = 1_000_000;

export function openLoad(options: LoadOptions): Load {
  const run = new LoadRun(options);
  return { counts: () => run.counts(), stop: () => run.stop() };
}

class LoadRun {
  readonly #options: LoadOptions;
  readonly #kept: http.Agent;
  readonly #began = performance.now();
  readonly #timer: NodeJS.Timeout;
  readonly #latencies: number[] = [];
  readonly #failures: LoadFailure[] = [];
  readonly #servedBy: Record<string, number> = {};
  #sent = 0;
  #failed = 0;
  #inFlight = 0;
  #latestStartMs = 0;
  #idle: (() => void) | null = null;

  constructor(options: LoadOptions) {
    this.#options = options;
    // First in, first out: every kept connection stays in use, so none is old enough for the other side to close it just now.
    this.#kept = new http.Agent({ keepAlive: true, maxSockets: options.connections ?? 16, scheduling: "fifo" });
    this.#timer = setInterval(() => this.#tick(), tickMs);
  }

  counts() {
    return { sent: this.#sent, ok: this.#latencies.length, failed: this.#failed };
  }

  async stop(): Promise<LoadReport> {
    clearInterval(this.#timer);
    const durationMs = performance.now() - this.#began;
    if (this.#inFlight > 0) await new Promise<void>((resolve) => (this.#idle = resolve));
    this.#kept.destroy();
    const sorted = Float64Array.from(this.#latencies).sort();
    const quantile = (q: number) => sorted[Math.min(sorted.length - 1, Math.floor(q * sorted.length))] ?? 0;
    return {
      ...this.counts(),
      failures: this.#failures,
      durationMs,
      latestStartMs: this.#latestStartMs,
      latencyMs: { p50: quantile(0.5), p95: quantile(0.95), p99: quantile(0.99), max: sorted.at(-1) ?? 0 },
      servedBy: this.#servedBy,
    };
  }

  #tick(): void {
    const due = ((performance.now() - this.#began) * this.#options.ratePerSecond) / 1_000;
    while (this.#sent < due) this.#send(this.#sent++);
  }

  #send(number: number): void {
    const { host, port, paths, timeoutMs = defaultTimeoutMs, ratePerSecond, bodyHas = "" } = this.#options;
    const startMs = (number * 1_000) / ratePerSecond;
    const sinceBegan = () => performance.now() - this.#began;
    this.#latestStartMs = Math.max(this.#latestStartMs, sinceBegan() - startMs);
    const path = paths[Math.floor(number / 2) % paths.length]!;
    const half: LoadHalf = number % 2 === 0 ? "kept" : "new";
    let settled = false;
    const settle = (reason: string | null) => {
      if (settled) return;
      settled = true;
      clearTimeout(timer);
      if (reason === null) this.#latencies.push(sinceBegan() - startMs);
      else this.#fail({ half, path, startMs, endMs: sinceBegan(), reason });
      this.#inFlight -= 1;
      if (this.#inFlight === 0) this.#idle?.();
    };
    this.#inFlight += 1;
    const timer = setTimeout(() => {
      settle(`no answer in ${timeoutMs} ms`);
      request?.destroy();
    }, timeoutMs);
    if (this.#inFlight > inFlightMax) return settle(`not sent: ${inFlightMax} are in flight`);
    const request = http.get({ host, port, path, agent: half === "kept" ? this.#kept : false }, (response) => {
      let body = "";
      response.setEncoding("utf8");
      response.on("data", (text: string) => {
        if (body.length < bodyCharsMax) body += text;
      });
      response.on("error", (error) => settle(`answer cut off: ${codeOf(error)}`));
      response.on("end", () => {
        const server = response.headers["x-served-by"];
        if (typeof server === "string") this.#servedBy[server] = (this.#servedBy[server] ?? 0) + 1;
        if (!response.complete) settle("answer cut off");
        else if (response.statusCode !== 200) settle(`status ${response.statusCode}`);
        else settle(body.includes(bodyHas) ? null : "wrong body");
      });
    });
    request.on("error", (error) => settle(codeOf(error)));
  }

  #fail(failure: LoadFailure): void {
    this.#failed += 1;
    if (this.#failures.length < failuresKept) this.#failures.push(failure);
  }
}

function codeOf(error: Error): string {
  return (error as NodeJS.ErrnoException).code ?? error.message;
}
