/** Follows events: one stream that survives broken connections, without missing an event or giving one twice. */
import { type ClientOptions, problemOf, ProblemError, type Schemas, UnreachableError } from "./client.ts";

export type Event = Schemas["Event"];

export interface FollowOptions extends ClientOptions {
  /** Position of the last event already seen, or only what comes. Default 0: from the first. */
  readonly after?: number | "latest";
  /** Id or name. */
  readonly vapp?: string;
  readonly signal?: AbortSignal;
  /** How long a server may be away; default 60 000. */
  readonly patienceMs?: number;
  /** Told true when the server is heard and false when it is lost; perhaps several times in a row the same. */
  readonly onContact?: (isThere: boolean) => void;
}

const firstPauseMs = 200;
const longestPauseMs = 5_000;
/** The server sends something every ten seconds; a connection that is silent for longer is dead without anybody having closed it. */
const silenceMs = 30_000;

/** Ends when `signal` aborts. Throws ProblemError for a refusal and UnreachableError when patience is at its end. */
export async function* followEvents(options: FollowOptions): AsyncGenerator<Event> {
  const { signal, patienceMs = 60_000 } = options;
  let cursor: number | "latest" = options.after ?? 0;
  let lastContact = Date.now();
  let pauseMs = firstPauseMs;
  const isOver = () => signal?.aborted === true;
  while (!isOver()) {
    try {
      for await (const message of readStream(options, cursor)) {
        lastContact = Date.now();
        pauseMs = firstPauseMs;
        options.onContact?.(true);
        if (message.id !== null) cursor = message.id;
        if (message.event !== null) yield message.event;
      }
    } catch (error) {
      if (isOver()) return;
      if (error instanceof ProblemError && !error.problem.retryable) throw error;
      if (Date.now() - lastContact > patienceMs) throw error instanceof ProblemError ? error : new UnreachableError(options.url, error);
    }
    if (isOver()) return;
    options.onContact?.(false);
    await new Promise((resolve) => setTimeout(resolve, pauseMs));
    pauseMs = Math.min(pauseMs * 2, longestPauseMs);
  }
}

interface Message {
  readonly id: number | null;
  readonly event: Event | null;
}

async function* readStream(options: FollowOptions, cursor: number | "latest"): AsyncGenerator<Message> {
  const query = new URLSearchParams({ after: String(cursor), ...(options.vapp === undefined ? {} : { vapp: options.vapp }) });
  const response = await fetch(`${options.url}/v1/events?${query}`, {
    headers: { authorization: `Bearer ${options.token}`, accept: "text/event-stream" },
    ...(options.signal === undefined ? {} : { signal: options.signal }),
  });
  if (!response.ok) throw await problemOf(response, options.url);
  let rest = "";
  for await (const chunk of chunksOf(response.body!.pipeThrough(new TextDecoderStream()))) {
    const blocks = (rest + chunk).split("\n\n");
    // What follows the last empty line is not complete yet.
    rest = blocks.pop()!;
    for (const block of blocks) yield parseBlock(block);
  }
}

/** Not every browser can iterate a stream. */
async function* chunksOf(stream: ReadableStream<string>): AsyncGenerator<string> {
  const reader = stream.getReader();
  let silence: ReturnType<typeof setTimeout> | undefined;
  try {
    for (;;) {
      silence = setTimeout(() => void reader.cancel(), silenceMs);
      const { done, value } = await reader.read();
      clearTimeout(silence);
      if (done) return;
      yield value;
    }
  } finally {
    clearTimeout(silence);
    await reader.cancel().catch(() => undefined);
  }
}

function parseBlock(block: string): Message {
  const fields = new Map(
    block.split("\n").map((line) => [line.slice(0, Math.max(0, line.indexOf(":"))), line.slice(line.indexOf(":") + 2)] as const),
  );
  const id = fields.get("id");
  const data = fields.get("data");
  return { id: id === undefined ? null : Number(id), event: data === undefined ? null : (JSON.parse(data) as Event) };
}
