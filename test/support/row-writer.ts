/**
 * Clients that add rows to the shop all the time, at a steady rate, through its exposed address. A 201 is a promise: its row must be there
 * whatever happened since. Every name is used once and nothing is repeated, so a row that was not promised may be there, but only once.
 */
import { randomUUID } from "node:crypto";
import http from "node:http";

export interface WriterReport {
  /** Names answered 201. */
  readonly promised: readonly string[];
  /** How often each other answer came: `503 no`, `503 unknown`, or the error of the connection. */
  readonly others: Readonly<Record<string, number>>;
  /** The longest time between two promises, in milliseconds, and when it ended. */
  readonly longestGapMs: number;
}

export interface RowWriter {
  promised(): number;
  /** When the last 201 came that was asked for after `sinceMs` of performance.now(); null while there is none. */
  firstPromiseAfter(sinceMs: number): number | null;
  stop(): Promise<WriterReport>;
}

const timeoutMs = 12_000;
const inFlightMax = 40;

interface Promised {
  readonly name: string;
  readonly askedMs: number;
  readonly answeredMs: number;
}

export function startRowWriter(url: string, ratePerSecond: number): RowWriter {
  const promised: Promised[] = [];
  const others: Record<string, number> = {};
  const inFlight = new Set<Promise<void>>();
  const timer = setInterval(() => {
    if (inFlight.size >= inFlightMax) return;
    const work = write().finally(() => inFlight.delete(work));
    inFlight.add(work);
  }, 1_000 / ratePerSecond);

  async function write(): Promise<void> {
    const name = `row ${randomUUID()}`;
    const askedMs = performance.now();
    const outcome = await post(url, name);
    if (outcome === "201") promised.push({ name, askedMs, answeredMs: performance.now() });
    else others[outcome] = (others[outcome] ?? 0) + 1;
  }

  return {
    promised: () => promised.length,
    firstPromiseAfter: (sinceMs) => promised.find(({ askedMs }) => askedMs >= sinceMs)?.answeredMs ?? null,
    async stop() {
      clearInterval(timer);
      await Promise.all(inFlight);
      const times = promised.map(({ answeredMs }) => answeredMs);
      const gaps = times.slice(1).map((time, i) => time - times[i]!);
      return { promised: promised.map(({ name }) => name), others, longestGapMs: Math.max(0, ...gaps) };
    },
  };
}

/** Status, with what the shop says of the commit; or how the connection failed. */
function post(url: string, name: string): Promise<string> {
  return new Promise((resolve) => {
    const body = JSON.stringify({ name, price: "1.50" });
    const headers = { "content-type": "application/json", "content-length": String(Buffer.byteLength(body)) };
    const request = http.request(new URL("/items", url), { method: "POST", agent: false, headers, timeout: timeoutMs }, (response) => {
      let text = "";
      response.setEncoding("utf8");
      response.on("data", (part: string) => (text += part));
      response.on("error", () => resolve("cut off"));
      response.on("end", () => {
        const committed = /"committed": "(no|unknown)"/.exec(text)?.[1];
        // A 201 that was cut off promises nothing.
        resolve(response.complete ? `${response.statusCode}${committed === undefined ? "" : ` ${committed}`}` : "cut off");
      });
    });
    request.on("timeout", () => request.destroy(new Error("no answer")));
    request.on("error", (error) => resolve((error as NodeJS.ErrnoException).code ?? error.message));
    request.end(body);
  });
}
