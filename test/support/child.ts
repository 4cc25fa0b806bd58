/** Child processes of kill tests: our own TypeScript files under the node that runs the tests. */
import { type ChildProcess, spawn } from "node:child_process";
import { fileURLToPath } from "node:url";

export interface Child {
  readonly process: ChildProcess;
  /** Resolves when the child has printed `ready`; rejects with its stderr when it ends before. */
  readonly ready: Promise<void>;
  /** Resolves with the signal or exit code. */
  readonly exited: Promise<string>;
  stderr(): string;
  /** Closes stdin, which tells the child to end in good order. */
  stop(): Promise<string>;
}

/** `file` is relative to this folder. */
export function startChild(file: string, args: readonly string[], env: Readonly<Record<string, string>> = {}): Child {
  const path = fileURLToPath(new URL(file, import.meta.url));
  const child = spawn(process.execPath, [path, ...args], { stdio: ["pipe", "pipe", "pipe"], env: { ...process.env, ...env } });
  let errors = "";
  child.stderr.on("data", (chunk: Buffer) => (errors += chunk.toString()));
  child.stdin.on("error", () => {}); // The child may be dead when it is told to stop.
  const exited = new Promise<string>((resolve) => child.on("close", (code, signal) => resolve(signal ?? String(code))));
  const ready = new Promise<void>((resolve, reject) => {
    child.stdout.on("data", (chunk: Buffer) => {
      if (chunk.toString().includes("ready")) resolve();
    });
    void exited.then((how) => reject(new Error(`the child ended (${how}) before it was ready: ${errors}`)));
  });
  ready.catch(() => {}); // A kill at an early fault point is no failure; who needs `ready` awaits it.
  return {
    process: child,
    ready,
    exited,
    stderr: () => errors,
    async stop() {
      child.stdin.end();
      return await exited;
    },
  };
}
