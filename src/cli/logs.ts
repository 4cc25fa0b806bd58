/** `strat vapp logs`: what a machine logs, once or as it comes. The guest's own script is asked again and again; what is known is not said twice. */
import { type Command, InvalidArgumentError } from "commander";
import { ask } from "#sdk/client.ts";
import { wholeNumber, withSession } from "#cli/command.ts";
import { newLines } from "#cli/new-lines.ts";
import { faint, type Session } from "#cli/session.ts";

const linesMax = 5_000;
const followEveryMs = 1_000;
/** Lines looked at while following, always the same number: what a machine may log in a second without a gap. */
const followLines = 1_000;
const logsTimeoutMs = 30_000;

interface LogsOptions {
  readonly lines: number;
  readonly follow?: boolean;
}

export function registerLogs(vapp: Command): void {
  vapp
    .command("logs <vapp> <machine>")
    .description("the newest lines of everything a machine logs")
    .option("-n, --lines <n>", `how many, at most ${linesMax}`, wholeNumber, 100)
    .option("-f, --follow", "and what comes after them, until Ctrl-C")
    .action(
      withSession(async (session: Session, name: string, machine: string, { lines, follow }: LogsOptions) => {
        if (lines < 1 || lines > linesMax) throw new InvalidArgumentError(`--lines is 1 to ${linesMax}`);
        if (follow === true) return followLogs(session, name, machine, lines);
        const result = await read(session, name, machine, lines);
        if (session.json) session.show(result, () => "");
        else process.stdout.write(result.stdout);
        process.stderr.write(session.json ? "" : result.stderr);
        process.exitCode = result.exitCode;
      }),
    );
}

function read(session: Session, vapp: string, machine: string, lines: number) {
  return ask(
    session.client.POST("/v1/vapps/{vapp}/exec", {
      params: { path: { vapp } },
      body: { machine, argv: ["/usr/lib/stratiform/logs", String(lines)], timeoutMs: logsTimeoutMs },
    }),
  );
}

async function followLogs(session: Session, vapp: string, machine: string, lines: number): Promise<void> {
  const interrupted = new AbortController();
  const stop = () => interrupted.abort();
  for (const signal of ["SIGINT", "SIGTERM"] as const) process.once(signal, stop);
  // Whoever read our output has gone.
  process.stdout.once("error", stop);
  const window = Math.max(lines, followLines);
  let known: readonly string[] | null = null;
  while (!interrupted.signal.aborted) {
    const result = await read(session, vapp, machine, window);
    if (result.exitCode !== 0) {
      process.stderr.write(result.stderr);
      process.exitCode = result.exitCode;
      break;
    }
    const shown = linesOf(result.stdout);
    const { lines: fresh, gap } = known === null ? { lines: shown.slice(-lines), gap: false } : newLines(known, shown);
    if (gap) session.say(faint("(there were more lines than can be followed; some are missing here)"));
    for (const line of fresh) process.stdout.write(session.json ? `${JSON.stringify({ machine, line })}\n` : `${line}\n`);
    known = shown;
    await new Promise<void>((resolve) => {
      const timer = setTimeout(resolve, followEveryMs);
      interrupted.signal.addEventListener("abort", () => (clearTimeout(timer), resolve()), { once: true });
    });
  }
}

function linesOf(text: string): string[] {
  const lines = text.split("\n");
  if (lines.at(-1) === "") lines.pop();
  return lines;
}
