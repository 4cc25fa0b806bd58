/** Runs a program without a shell, bounded in time and output. The only way this code base starts short-lived programs. */
import { spawn } from "node:child_process";
import { AppError } from "#domain/error.ts";

const outputLimitBytes = 4 * 1024 * 1024;

export interface ExecOptions {
  readonly signal?: AbortSignal;
  /** Default 60 000. The process is killed at the limit and `timeout` is thrown. */
  readonly timeoutMs?: number;
  readonly stdin?: string;
  readonly env?: NodeJS.ProcessEnv;
  readonly cwd?: string;
  readonly uid?: number;
  readonly gid?: number;
  /** Exit codes that are results, not errors. Default [0]. */
  readonly okCodes?: readonly number[];
}

export interface ExecResult {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** Throws `internal` when the program is missing or exits with an unexpected code; its stderr goes to `internal`, not to the message. */
export function exec(file: string, args: readonly string[], options: ExecOptions = {}): Promise<ExecResult> {
  return new Promise((resolve, reject) => {
    const child = spawn(file, args, {
      cwd: options.cwd,
      env: options.env ?? process.env,
      stdio: ["pipe", "pipe", "pipe"],
      ...(options.uid === undefined ? {} : { uid: options.uid }),
      ...(options.gid === undefined ? {} : { gid: options.gid }),
    });
    const out: Buffer[] = [];
    const err: Buffer[] = [];
    let outBytes = 0;
    let timedOut = false;
    const collect = (into: Buffer[]) => (chunk: Buffer) => {
      outBytes += chunk.length;
      if (outBytes <= outputLimitBytes) into.push(chunk);
    };
    child.stdout.on("data", collect(out));
    child.stderr.on("data", collect(err));
    child.stdin.on("error", () => {}); // A program that exits without reading its input is judged by its exit code.
    child.stdin.end(options.stdin ?? "");
    const timer = setTimeout(() => {
      timedOut = true;
      child.kill("SIGKILL");
    }, options.timeoutMs ?? 60_000);
    const onAbort = () => child.kill("SIGKILL");
    options.signal?.addEventListener("abort", onAbort, { once: true });
    const done = () => {
      clearTimeout(timer);
      options.signal?.removeEventListener("abort", onAbort);
    };
    child.on("error", (cause) => {
      done();
      reject(new AppError("internal", `cannot run ${file}`, { cause, internal: String(cause) }));
    });
    child.on("close", (code, signal) => {
      done();
      const stdout = Buffer.concat(out).toString();
      const stderr = Buffer.concat(err).toString();
      if (options.signal?.aborted) return reject(options.signal.reason);
      if (timedOut) return reject(new AppError("timeout", `${file} did not finish in time`, { internal: `${args.join(" ")}: ${stderr}` }));
      if (code === null || !(options.okCodes ?? [0]).includes(code)) {
        const internal = `${file} ${args.join(" ")} -> ${code ?? signal}: ${stderr.trim() || stdout.trim()}`;
        return reject(new AppError("internal", `${file} failed`, { internal }));
      }
      resolve({ code, stdout, stderr });
    });
  });
}
