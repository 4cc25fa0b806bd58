/**
 * The console of this control plane. A package has it built; a clone builds it beside the start of the control plane, once for the same
 * sources (`tools/build-web.ts`), at the lowest priority: what people wait for comes first.
 */
import { execFile, type ChildProcess } from "node:child_process";
import { existsSync } from "node:fs";
import { setPriority } from "node:os";
import type { Log } from "#domain/context.ts";
import { ownFile } from "#lib/own-file.ts";
import type { ControlPlaneOptions } from "#main.ts";

type ConsoleFind = NonNullable<ControlPlaneOptions["findConsole"]>;

const buildLimitMs = 300_000;
const lowestPriority = 19;

export class OwnConsole {
  readonly #log: Log;
  #files: ReturnType<ConsoleFind> = { building: true, hint: "A clone does this once, and again when the sources of the console change." };
  #builder: ChildProcess | undefined;

  constructor(log: Log) {
    this.#log = log;
    const packaged = ownFile("web");
    if (existsSync(packaged)) this.#files = { folder: packaged };
  }

  readonly find: ConsoleFind = () => this.#files;

  /** Returns at once. */
  build(): void {
    if ("folder" in this.#files) return;
    const program = ownFile("tools/build-web.ts");
    if (!existsSync(program)) return this.#failed("Neither a built console nor its sources came along.");
    const child = execFile(process.execPath, [program, "--json"], { timeout: buildLimitMs }, (error, stdout, stderr) => {
      if (error === null) return this.#built(JSON.parse(stdout) as { folder: string; isNew: boolean; milliseconds: number });
      if (child.signalCode !== "SIGTERM") this.#log.warn({ error: stderr.slice(-2_000) }, "the console could not be built");
      this.#failed("Building it failed; the log of the control plane says why.");
    });
    this.#builder = child;
    behindOthers(child);
  }

  /** Ends a build under way. */
  close(): void {
    this.#builder?.kill("SIGTERM");
  }

  #built({ folder, isNew, milliseconds }: { folder: string; isNew: boolean; milliseconds: number }): void {
    this.#files = { folder };
    this.#log[isNew ? "info" : "debug"]({ folder, milliseconds }, "the console is there");
  }

  #failed(why: string): void {
    this.#files = { building: false, hint: `${why} Run "node tools/build-web.ts" in the clone, then start again.` };
  }
}

function behindOthers(child: ChildProcess): void {
  try {
    if (child.pid !== undefined) setPriority(child.pid, lowestPriority);
  } catch {
    // It is done already, or the system has no priorities.
  }
}
