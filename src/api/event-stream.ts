/**
 * Events as a stream of server-sent events. All readers share one loop that asks how far positions have been given; a reader that is
 * behind then reads its own page through the use case, so policy is asked again and again, and nothing is buffered but the page it is
 * sending: a slow reader waits for its socket, a lost one resumes by position.
 */
import { Readable } from "node:stream";
import type { Clock, Log } from "#domain/context.ts";
import type { EventView } from "#domain/catalogue.ts";
import type { AppContext, Platform } from "#app/context.ts";
import { listEvents } from "#app/event.ts";
import { eventHead } from "#app/request.ts";

const pollMs = 150;
const heartbeatMs = 10_000;
const pageLength = 100;

/** How far positions have been given, for everybody who waits for more. Asks only while somebody does. */
export class EventHead {
  readonly #platform: Platform;
  readonly #clock: Clock;
  readonly #log: Log;
  readonly #waiting = new Set<() => void>();
  #head = 0;
  #polling = false;

  constructor(platform: Platform, clock: Clock, log: Log) {
    this.#platform = platform;
    this.#clock = clock;
    this.#log = log;
  }

  /** Resolves with the head once it is beyond `position`, or with `position` when `signal` aborts. */
  async beyond(position: number, signal: AbortSignal): Promise<number> {
    while (this.#head <= position && !signal.aborted) {
      await new Promise<void>((resolve) => {
        const done = () => {
          this.#waiting.delete(done);
          signal.removeEventListener("abort", done);
          resolve();
        };
        this.#waiting.add(done);
        signal.addEventListener("abort", done, { once: true });
        void this.#poll();
      });
    }
    return Math.max(position, this.#head);
  }

  async #poll(): Promise<void> {
    if (this.#polling) return;
    this.#polling = true;
    while (this.#waiting.size > 0) {
      try {
        const head = await eventHead(this.#platform);
        if (head > this.#head) {
          this.#head = head;
          for (const done of this.#waiting) done();
        }
      } catch (error) {
        this.#log.warn({ error: String(error) }, "events cannot be read");
      }
      await this.#clock.sleep(pollMs);
    }
    this.#polling = false;
  }
}

export interface StreamOptions {
  readonly ctx: AppContext;
  readonly head: EventHead;
  /** Position of the last event the reader has. */
  readonly after: number;
  readonly vapp: string | undefined;
  /** False ends the stream: the token is no longer valid. */
  readonly mayGoOn: () => Promise<boolean>;
}

/** The text of the stream. Ends when `ctx.signal` aborts, or when a page cannot be read: the reader resumes where it was. */
export function eventStream(options: StreamOptions): Readable {
  return Readable.from(lines(options), { objectMode: true, highWaterMark: 1 });
}

async function* lines({ ctx, head, after, vapp, mayGoOn }: StreamOptions): AsyncGenerator<string> {
  let cursor = after;
  // Everything up to here has been read, events of others included; the cursor stays with what the reader has.
  let seen = after;
  // An id without data is not an event: it tells the reader where it stands, so that a reconnect resumes there.
  yield `id: ${cursor}\n: stratiform events\n\n`;
  while (!ctx.signal.aborted) {
    const patience = AbortSignal.any([ctx.signal, AbortSignal.timeout(heartbeatMs)]);
    const known = await head.beyond(seen, patience);
    if (ctx.signal.aborted) return;
    if (known === seen) {
      if (!(await mayGoOn())) return;
      yield `: heartbeat\n\n`;
      continue;
    }
    const items = await listEvents(ctx, { after: cursor, limit: pageLength, ...(vapp === undefined ? {} : { vapp }) });
    cursor = items.at(-1)?.position ?? cursor;
    seen = items.length < pageLength ? Math.max(known, cursor) : cursor;
    if (items.length > 0) yield items.map(eventText).join("");
  }
}

/** JSON has no bare line break, so one `data:` line holds it. */
function eventText(event: EventView): string {
  return `id: ${event.position}\nevent: ${event.type}\ndata: ${JSON.stringify(event)}\n\n`;
}
