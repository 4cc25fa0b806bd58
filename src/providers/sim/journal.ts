/**
 * The simulated world's memory: one JSON line per change, written before the change is answered. After kill -9 the page cache still has
 * every line that was written; only the last one can be torn, and it was never answered, so it is cut off.
 */
import { closeSync, existsSync, ftruncateSync, openSync, readFileSync, writeSync } from "node:fs";

export class Journal<T> {
  readonly #fd: number;
  /** How many lines it holds: a test that promises "nothing changed" compares it. */
  length = 0;

  /** Replays what is there, in order, and opens the file for appending. */
  constructor(path: string, replay: (entry: T) => void) {
    const text = existsSync(path) ? readFileSync(path) : Buffer.alloc(0);
    const end = text.lastIndexOf(0x0a) + 1;
    for (const line of text.subarray(0, end).toString().split("\n")) {
      if (line === "") continue;
      replay(JSON.parse(line) as T);
      this.length++;
    }
    this.#fd = openSync(path, "a", 0o600);
    if (end < text.length) ftruncateSync(this.#fd, end);
  }

  append(entry: T): void {
    const line = Buffer.from(`${JSON.stringify(entry)}\n`);
    for (let written = 0; written < line.length;) written += writeSync(this.#fd, line, written);
    this.length++;
  }

  close(): void {
    closeSync(this.#fd);
  }
}
