/** What a command needs: the server, its token, and where results go. */
import { readFileSync } from "node:fs";
import { homedir } from "node:os";
import { join } from "node:path";
import { styleText } from "node:util";
import type { Command } from "commander";
import { makeClient, type StratiformClient } from "#sdk/client.ts";
import { CliError, exitCodes } from "#cli/exit.ts";

export interface GlobalOptions {
  readonly url?: string;
  readonly token?: string;
  readonly json?: boolean;
}

export interface Session {
  readonly url: string;
  readonly token: string;
  readonly client: StratiformClient;
  readonly json: boolean;
  /** Results, on stdout: `text` for people, `value` as JSON with `--json`. */
  show(value: unknown, text: () => string): void;
  /** Progress and remarks, on stderr; silent with `--json`. */
  say(line: string): void;
}

/** The folder a server of this machine keeps its files in. */
export function homeFolder(): string {
  const { STRATIFORM_HOME: home } = process.env;
  if (home !== undefined && home !== "") return home;
  return process.getuid?.() === 0 ? "/var/lib/stratiform" : join(homedir(), ".local/share/stratiform");
}

export function openSession(command: Command): Session {
  const options = command.optsWithGlobals<GlobalOptions>();
  const { url, token } = findServer(options, homeFolder());
  const json = options.json === true;
  return {
    url,
    token,
    client: makeClient({ url, token }),
    json,
    show: (value, text) => void process.stdout.write(`${json ? JSON.stringify(value, null, 2) : text()}\n`),
    say: (line) => void (json || process.stderr.write(`${line}\n`)),
  };
}

/** Options win over environment variables, these over the files of the home folder. */
export function findServer(options: GlobalOptions, home: string): { url: string; token: string } {
  const { STRATIFORM_URL, STRATIFORM_TOKEN } = process.env;
  const url = options.url ?? STRATIFORM_URL ?? (JSON.parse(fileIn(home, "control.json", "--url")) as { url: string }).url;
  const token = options.token ?? STRATIFORM_TOKEN ?? fileIn(home, "admin.token", "--token").trim();
  return { url: url.replace(/\/+$/, ""), token };
}

function fileIn(home: string, file: string, option: string): string {
  try {
    return readFileSync(join(home, file), "utf8");
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "EACCES") {
      throw new CliError(
        exitCodes.unreachable,
        `${join(home, file)} is not yours to read; ask for a token of your own and give it with --token`,
      );
    }
    throw new CliError(
      exitCodes.unreachable,
      `no server is known here: ${join(home, file)} is missing\n  start one:      strat up\n  or name one:    ${option} ..., STRATIFORM_URL and STRATIFORM_TOKEN, or STRATIFORM_HOME`,
    );
  }
}

const stateColours: Readonly<Record<string, "green" | "red" | "yellow" | "dim">> = {
  active: "green",
  running: "green",
  ready: "green",
  succeeded: "green",
  ok: "green",
  permit: "green",
  failed: "red",
  crashed: "red",
  missing: "red",
  unreachable: "red",
  undo_failed: "red",
  forbid: "red",
  degraded: "yellow",
  changing: "yellow",
  provisioning: "yellow",
  deleting: "yellow",
  compensated: "yellow",
  deleted: "dim",
  planned: "dim",
  pending: "dim",
};

/** A state in its colour, where the terminal has colours. */
export function state(name: string): string {
  const colour = stateColours[name];
  return colour === undefined ? name : styleText(colour, name);
}

export function strong(text: string): string {
  return styleText("bold", text);
}

export function faint(text: string): string {
  return styleText("dim", text);
}
