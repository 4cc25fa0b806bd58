/**
 * Processes of this installation that outlive the command that started them: `<home>/run/<name>.json` says which process it is (pid
 * and start time, so a reused pid is never taken for it), `<home>/log/<name>.log` is what it says.
 */
import { spawn } from "node:child_process";
import { closeSync, existsSync, mkdirSync, openSync, readFileSync, rmSync, statSync } from "node:fs";
import { join } from "node:path";
import { AppError } from "#domain/error.ts";
import { processIdentify, processIsAlive, type ProcessIdentity } from "#lib/process-identity.ts";
import { writeFileWhole } from "#lib/write-file.ts";

const pollMs = 50;

export class Background {
  readonly #home: string;
  constructor(home: string) {
    this.#home = home;
  }

  /** Starts `node ...args` unless it runs already, and waits until `ready` says so. True when it was started now. */
  async ensure(name: string, args: readonly string[], ready: () => Promise<boolean>, timeoutMs: number): Promise<boolean> {
    const running = await this.running(name);
    if (running === null) await this.#start(name, args);
    const until = Date.now() + timeoutMs;
    while (!(await ready())) {
      if ((await this.running(name)) === null)
        throw new AppError("unavailable", `${name} did not start; see ${this.#log(name)}`, { internal: this.tail(name) });
      if (Date.now() > until) throw new AppError("timeout", `${name} is not ready after ${timeoutMs / 1000} s; see ${this.#log(name)}`);
      await new Promise((resolve) => setTimeout(resolve, pollMs));
    }
    return running === null;
  }

  async running(name: string): Promise<ProcessIdentity | null> {
    const file = this.#file(name);
    if (!existsSync(file)) return null;
    const identity = JSON.parse(readFileSync(file, "utf8")) as ProcessIdentity;
    return (await processIsAlive(identity)) ? identity : null;
  }

  /** Asks it to stop and waits; kills it when it does not. True when it ran. */
  async stop(name: string, timeoutMs: number): Promise<boolean> {
    const identity = await this.running(name);
    if (identity !== null) {
      process.kill(identity.pid, "SIGTERM");
      const until = Date.now() + timeoutMs;
      while (await processIsAlive(identity)) {
        if (Date.now() > until) process.kill(identity.pid, "SIGKILL");
        await new Promise((resolve) => setTimeout(resolve, pollMs));
      }
    }
    rmSync(this.#file(name), { force: true });
    return identity !== null;
  }

  /** The last lines of its log. */
  tail(name: string, bytes = 4_000): string {
    const log = this.#log(name);
    if (!existsSync(log)) return "";
    const text = readFileSync(log, "utf8");
    return text.slice(Math.max(0, statSync(log).size - bytes));
  }

  async #start(name: string, args: readonly string[]): Promise<void> {
    mkdirSync(join(this.#home, "run"), { recursive: true });
    mkdirSync(join(this.#home, "log"), { recursive: true });
    const log = openSync(this.#log(name), "a", 0o600);
    const child = spawn(process.execPath, [...args], { detached: true, stdio: ["ignore", log, log], cwd: "/" });
    closeSync(log);
    child.unref();
    const identity = child.pid === undefined ? null : await processIdentify(child.pid);
    if (identity === null)
      throw new AppError("unavailable", `${name} did not start; see ${this.#log(name)}`, { internal: this.tail(name) });
    writeFileWhole(this.#file(name), JSON.stringify(identity));
  }

  #file(name: string): string {
    return join(this.#home, "run", `${name}.json`);
  }

  #log(name: string): string {
    return join(this.#home, "log", `${name}.log`);
  }
}
