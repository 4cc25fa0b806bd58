/** Small pieces every file of commands uses. */
import { readFileSync } from "node:fs";
import { type Command, InvalidArgumentError } from "commander";
import { CliError, exitCodes } from "#cli/exit.ts";
import { openSession, type Session } from "#cli/session.ts";

/** The action of a command that talks to the server: session first, then commander's own arguments and options. */
export function withSession<A extends readonly unknown[]>(
  body: (session: Session, ...rest: A) => Promise<void>,
): (this: Command, ...rest: [...A, Command]) => Promise<void> {
  return async function (this: Command, ...rest) {
    await body(openSession(this), ...(rest.slice(0, -1) as unknown as A));
  };
}

/** `--set web=3 --set name=x`, collected. Values stay text: the offering says what they are. */
export function collectPair(text: string, before: Record<string, string> = {}): Record<string, string> {
  const at = text.indexOf("=");
  if (at < 1) throw new InvalidArgumentError("write it as name=value");
  return { ...before, [text.slice(0, at)]: text.slice(at + 1) };
}

export function wholeNumber(text: string): number {
  if (!/^\d{1,15}$/.test(text)) throw new InvalidArgumentError("write a whole number");
  return Number(text);
}

/** JSON given on the command line. */
export function jsonValue(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    throw new InvalidArgumentError("write it as JSON");
  }
}

/** Text of a file, `-` for standard input. */
export function readText(path: string): string {
  try {
    return readFileSync(path === "-" ? 0 : path, "utf8");
  } catch (error) {
    throw new CliError(exitCodes.usage, `${path} cannot be read: ${(error as Error).message}`);
  }
}

/** All pages of a list, up to `limit` items. */
export async function allPages<T>(
  limit: number,
  fetchPage: (after: string | undefined, limit: number) => Promise<{ items: T[]; next: string | null }>,
): Promise<T[]> {
  const items: T[] = [];
  let after: string | undefined;
  while (items.length < limit) {
    const page = await fetchPage(after, Math.min(500, limit - items.length));
    items.push(...page.items);
    if (page.next === null) break;
    after = page.next;
  }
  return items;
}
