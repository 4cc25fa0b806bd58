/** Starts the simulated site as the process it is, so that a test can kill it. */
import { spawn, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

const mainPath = fileURLToPath(new URL("../../src/providers/sim/main.ts", import.meta.url));

export interface RunningSim {
  readonly pid: number;
  readonly journal: string;
  readonly socket: string;
  /** Ends it in an orderly way. The journal stays. */
  stop(): Promise<void>;
  /** kill -9. The journal stays. */
  kill(): Promise<void>;
}

/** Resolves when the site answers. Start it again with the same paths to get the same world. */
export async function startSim(options: { readonly journal: string; readonly socket: string }): Promise<RunningSim> {
  const args = [mainPath, "--journal", options.journal, "--socket", options.socket];
  const child = spawn(process.execPath, args, { stdio: ["ignore", "pipe", "pipe"] });
  const reap = () => void child.kill("SIGKILL"); // A test run that is cut short must not leave the site behind.
  process.once("exit", reap);
  child.once("exit", () => process.off("exit", reap));
  let stderr = "";
  child.stderr.on("data", (chunk: Buffer) => (stderr = (stderr + chunk.toString()).slice(-4_000)));
  const failed = once(child, "exit").then(() => Promise.reject(new Error(`the simulated site did not start: ${stderr}`)));
  failed.catch(() => {}); // It is only of interest while we wait for the start.
  await Promise.race([once(child.stdout, "data"), failed]);
  return {
    pid: child.pid ?? 0,
    ...options,
    stop: () => end(child, "SIGTERM"),
    kill: () => end(child, "SIGKILL"),
  };
}

async function end(child: ChildProcess, signal: NodeJS.Signals): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const exited = once(child, "exit");
  child.kill(signal);
  await exited;
}

/** Paths in a fresh temporary folder, and how to remove it. */
export function simPaths(): { readonly journal: string; readonly socket: string; remove(): void } {
  const folder = mkdtempSync(join(tmpdir(), "stratiform-sim-"));
  return {
    journal: join(folder, "journal"),
    socket: join(folder, "sim.sock"),
    remove: () => rmSync(folder, { recursive: true, force: true }),
  };
}
