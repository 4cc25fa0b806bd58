/**
 * The load generator as a process of its own: measured by no other work of the test, and inside any network namespace.
 *
 *     const load = await startLoadProcess(options, ["--net=/run/netns/x"]);
 *     const report = await load.stop();
 */
import { spawn } from "node:child_process";
import { fileURLToPath } from "node:url";
import { openLoad, type LoadOptions, type LoadReport } from "./load.ts";

export interface LoadProcess {
  /** Milliseconds since the load began, on the time scale of the report. */
  sinceBegan(): number;
  stop(): Promise<LoadReport>;
}

/** `enter`: arguments for nsenter; null: here. */
export async function startLoadProcess(options: LoadOptions, enter: readonly string[] | null = null): Promise<LoadProcess> {
  const program = [process.execPath, fileURLToPath(import.meta.url), JSON.stringify(options)];
  const [file, ...args] = enter === null ? program : ["nsenter", ...enter, ...program];
  const child = spawn(file!, args, { stdio: ["pipe", "pipe", "inherit"] });
  let text = "";
  let began = 0;
  const ended = new Promise<void>((resolve) => child.once("close", () => resolve()));
  await new Promise<void>((resolve, reject) => {
    child.once("error", reject);
    child.once("exit", () => reject(new Error("the load generator ended")));
    child.stdout.on("data", (chunk: Buffer) => {
      text += chunk.toString();
      if (began === 0) began = performance.now();
      resolve();
    });
  });
  return {
    sinceBegan: () => performance.now() - began,
    async stop() {
      child.stdin.end();
      await ended;
      return JSON.parse(text.trim().split("\n").at(-1)!) as LoadReport;
    },
  };
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const load = openLoad(JSON.parse(process.argv[2]!) as LoadOptions);
  process.stdout.write("began\n");
  // Also the end of a test that was killed.
  process.stdin.once(
    "end",
    () => void load.stop().then((report) => process.stdout.write(`${JSON.stringify(report)}\n`, () => process.exit())),
  );
  process.stdin.resume();
}
