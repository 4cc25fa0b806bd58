/** Starts, arms and kills control-plane processes, and orders through their API as anyone would. */
import { spawn } from "node:child_process";
import { readFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import type { OrderView } from "#domain/order.ts";

export interface ControlProcess {
  readonly pid: number;
  readonly home: string;
  /** Begins to serve; resolves with how long that took, in milliseconds. */
  go(): Promise<number>;
  /** From now on the process dies at this fault point. */
  arm(point: string): Promise<void>;
  /** Places an order through the API. Rejects when the process dies before it answers. */
  order(request: object): Promise<OrderView>;
  /** Any request to the API; what it refuses comes back with its status. */
  call(method: "GET" | "POST", path: string, body?: object): Promise<Answer>;
  kill(): Promise<string>;
  /** Closes in good order. */
  stop(): Promise<string>;
  /** Signal or exit code, once it has ended. */
  readonly exited: Promise<string>;
  /** What it said on stderr; read it when a test fails. */
  stderr(): string;
}

export interface Answer {
  readonly status: number;
  readonly body: unknown;
}

export interface ControlOptions {
  readonly url: string;
  readonly home: string;
  readonly ttlMs?: number;
  readonly env?: Readonly<Record<string, string>>;
}

const program = fileURLToPath(new URL("./chaos-child.ts", import.meta.url));
/** One for all installations, kept between runs: two cold starts at once take the longest part of a small matrix. */
const compileCache = join(tmpdir(), "stratiform-test-compile-cache");
const loadLimitMs = 30_000;
const callLimitMs = 20_000;

/** Resolves as soon as the process exists; loading goes on in the background, `go` waits for it. */
export function startControl(options: ControlOptions): ControlProcess {
  const { home, url } = options;
  const env = { ...process.env, NODE_COMPILE_CACHE: compileCache, ...options.env };
  const child = spawn(process.execPath, [program, url, home, String(options.ttlMs ?? 5_000)], { stdio: ["pipe", "pipe", "pipe"], env });
  const reap = () => void child.kill("SIGKILL"); // A test run that is cut short leaves nothing behind.
  process.once("exit", reap);
  let errors = "";
  let address = "";
  child.stderr.on("data", (chunk: Buffer) => (errors = (errors + chunk.toString()).slice(-20_000)));
  child.stdin.on("error", () => {}); // It may be dead when it is told something.
  const exited = new Promise<string>((resolve) => child.on("close", (code, signal) => resolve(signal ?? String(code))));
  void exited.then(() => process.off("exit", reap));
  const words = new Words();
  createInterface({ input: child.stdout }).on("line", (line) => words.say(line));
  const said = (word: string) => {
    const ended = exited.then((how): never => {
      throw new Error(`the control plane ended (${how}) before it said ${word}: ${errors}`);
    });
    ended.catch(() => {});
    return within(Promise.race([words.wait(word), ended]), loadLimitMs, `${word}; it says ${errors}`);
  };
  const tell = (line: string) => void child.stdin.write(`${line}\n`);
  return {
    pid: child.pid!,
    home,
    exited,
    stderr: () => errors,
    async go() {
      await said("loaded");
      const started = Date.now();
      tell("go");
      address = (await said("ready")).split(" ")[1]!;
      return Date.now() - started;
    },
    async arm(point) {
      words.forget("armed");
      tell(`arm ${point}`);
      await said("armed");
    },
    call: (method, path, body) => callThrough(`${address}${path}`, home, method, body),
    async order(request) {
      const { status, body } = await callThrough(`${address}/v1/orders`, home, "POST", request);
      if (status >= 300) throw new Error(`the order was refused: ${JSON.stringify(body)}; the control plane says ${errors}`);
      return body as OrderView;
    },
    async kill() {
      child.kill("SIGKILL");
      return exited;
    },
    async stop() {
      child.stdin.end();
      return exited;
    },
  };
}

/** Lines of a child by their first word. */
class Words {
  readonly #said = new Map<string, string>();
  readonly #waiting = new Map<string, (line: string) => void>();

  say(line: string): void {
    const word = line.split(" ")[0]!;
    this.#said.set(word, line);
    this.#waiting.get(word)?.(line);
  }

  forget(word: string): void {
    this.#said.delete(word);
  }

  wait(word: string): Promise<string> {
    const known = this.#said.get(word);
    return known === undefined ? new Promise((resolve) => this.#waiting.set(word, resolve)) : Promise.resolve(known);
  }
}

async function callThrough(url: string, home: string, method: string, body: object | undefined): Promise<Answer> {
  const token = readFileSync(join(home, "admin.token"), "utf8").trim();
  const response = await fetch(url, {
    method,
    headers: { authorization: `Bearer ${token}`, ...(body === undefined ? {} : { "content-type": "application/json" }) },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    signal: AbortSignal.timeout(callLimitMs),
  });
  return { status: response.status, body: await response.json() };
}

export async function within<T>(work: Promise<T>, limitMs: number, what: string): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(`waited ${limitMs} ms for ${what}`)), limitMs);
  });
  try {
    return await Promise.race([work, late]);
  } finally {
    clearTimeout(timer);
  }
}
