/** The way out of a raw terminal: `Enter ~ .`, as ssh has it. `Enter ~ ~` sends a tilde. */

const newline = new Set([0x0a, 0x0d]);
const tilde = 0x7e;
const dot = 0x2e;

export class EscapeFilter {
  /** At the start nothing was typed yet, which is as good as a new line. */
  #state: "line-start" | "tilde" | "text" = "line-start";

  /** What goes to the machine, and whether the person wants out. A tilde at the start of a line waits for what follows it. */
  take(chunk: Buffer): { send: Buffer; quit: boolean } {
    const bytes: number[] = [];
    for (const byte of chunk) {
      if (this.#state === "tilde") {
        if (byte === dot) return { send: Buffer.from(bytes), quit: true };
        bytes.push(tilde);
        this.#state = "text";
        if (byte === tilde) continue;
      } else if (this.#state === "line-start" && byte === tilde) {
        this.#state = "tilde";
        continue;
      }
      bytes.push(byte);
      this.#state = newline.has(byte) ? "line-start" : "text";
    }
    return { send: Buffer.from(bytes), quit: false };
  }
}
