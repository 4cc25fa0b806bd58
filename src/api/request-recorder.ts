/** Writes the request log in batches, beside the requests: a slow database must not slow answers down, and a lost row is no loss. */
import type { Log } from "#domain/context.ts";
import type { Platform } from "#app/context.ts";
import { forgetRequests, recordRequests, type RequestRecord } from "#app/request.ts";

const flushMs = 250;
const forgetMs = 60 * 60 * 1_000;
const waitingLimit = 5_000;
const batch = 500;

export class RequestRecorder {
  readonly #platform: Platform;
  readonly #log: Log;
  readonly #timers: NodeJS.Timeout[];
  #waiting: RequestRecord[] = [];
  #writing: Promise<void> = Promise.resolve();
  #dropped = 0;

  constructor(platform: Platform, log: Log) {
    this.#platform = platform;
    this.#log = log;
    const forget = () =>
      void forgetRequests(platform).catch((error: unknown) => log.warn({ error: String(error) }, "old requests were not forgotten"));
    this.#timers = [setInterval(() => void this.flush(), flushMs), setInterval(forget, forgetMs)];
    for (const timer of this.#timers) timer.unref();
  }

  add(record: RequestRecord): void {
    if (this.#waiting.length < waitingLimit) this.#waiting.push(record);
    else this.#dropped += 1;
  }

  /** Writes what waits; never rejects. */
  flush(): Promise<void> {
    this.#writing = this.#writing.then(() => this.#write());
    return this.#writing;
  }

  async close(): Promise<void> {
    for (const timer of this.#timers) clearInterval(timer);
    await this.flush();
  }

  async #write(): Promise<void> {
    while (this.#waiting.length > 0) {
      const records = this.#waiting.slice(0, batch);
      try {
        await recordRequests(this.#platform, records);
      } catch (error) {
        this.#log.warn({ error: String(error), waiting: this.#waiting.length }, "the request log was not written");
        return;
      }
      this.#waiting = this.#waiting.slice(records.length);
    }
    if (this.#dropped > 0) this.#log.warn({ dropped: this.#dropped }, "request log rows were dropped");
    this.#dropped = 0;
  }
}
