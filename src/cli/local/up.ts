/** `strat up`: one control-plane process in the foreground, with the database it brings along unless it is given one. */
import type { Command } from "commander";
import { wholeNumber } from "#cli/command.ts";
import { OwnConsole } from "#cli/local/console-build.ts";
import { loadProcesses } from "#cli/local/own-processes.ts";
import { untilStopped } from "#cli/local/stop-signal.ts";
import { homeFolder } from "#cli/session.ts";
import { makeLog, type LogLevel } from "#lib/log.ts";

interface UpOptions {
  readonly port: number;
  readonly host: string;
  readonly home: string;
  readonly databaseUrl?: string;
  readonly logLevel: LogLevel;
  readonly json?: boolean;
  readonly process: readonly string[];
}

export function registerUp(program: Command): void {
  program
    .command("up")
    .description("start the control plane in the foreground; SIGTERM or Ctrl-C stops it cleanly")
    .option("--port <n>", "port to listen on, 0 for any", wholeNumber, 7080)
    .option("--host <address>", "address to listen on", "127.0.0.1")
    .option("--home <folder>", "where database, key, token and address are kept", homeFolder())
    .option("--database-url <url>", "a database server of your own (see docs); default: DATABASE_URL, else the one that comes along")
    .option(
      "--process <file>",
      "processes of your own; may be repeated",
      (file: string, before: string[]) => [...before, file],
      [] as string[],
    )
    .option("--log-level <level>", "debug, info, warn, error or silent", "info")
    .action(async function (this: Command) {
      await up(this.optsWithGlobals<UpOptions>());
    });
}

async function up(options: UpOptions): Promise<void> {
  const { startControlPlane } = await import("#main.ts");
  const log = makeLog({ name: "control-plane", level: options.logLevel });
  const console = new OwnConsole(log);
  const databaseUrl = options.databaseUrl ?? process.env["DATABASE_URL"];
  const controlPlane = await startControlPlane({
    home: options.home,
    host: options.host,
    port: options.port,
    log,
    findConsole: console.find,
    processes: await loadProcesses(options.process),
    ...(databaseUrl === undefined || databaseUrl === "" ? {} : { databaseUrl }),
  });
  console.build();
  const { url, tokenFile } = controlPlane;
  process.stdout.write(
    options.json === true
      ? `${JSON.stringify({ url, tokenFile, pid: process.pid })}\n`
      : `Stratiform at ${url}\nadmin token in ${tokenFile}\n`,
  );
  await untilStopped();
  console.close();
  await controlPlane.close();
}
