/** How errors read: what was refused, by which rule, where it comes from, and what would be accepted. */
import { CommanderError } from "commander";
import { isAppError, type Refusal } from "#domain/error.ts";
import { ProblemError, UnreachableError } from "#sdk/client.ts";
import { CliError, exitCodeOf, exitCodes } from "#cli/exit.ts";
import { faint, strong } from "#cli/session.ts";

/** Writes the error to stderr (as JSON with `--json`) and returns the exit code. */
export function reportFailure(error: unknown, json: boolean): number {
  // Commander has printed its own words already.
  if (error instanceof CommanderError) return error.exitCode === 0 ? exitCodes.done : exitCodes.usage;
  const { code, text, value } = describe(error);
  process.stderr.write(json ? `${JSON.stringify(value)}\n` : `${text}\n`);
  return code;
}

function describe(error: unknown): { code: number; text: string; value: unknown } {
  if (error instanceof ProblemError) return { code: exitCodeOf(error.problem.code), text: problemText(error), value: error.problem };
  // Commands of this machine work without a server in between.
  if (isAppError(error)) {
    const text = refusalText(error.message, error.detail) + (error.internal === undefined ? "" : `\n${faint(error.internal)}`);
    return { code: exitCodeOf(error.code), text, value: { code: error.code, detail: error.message, refusals: error.detail } };
  }
  if (error instanceof CliError) return { code: error.exitCode, text: `strat: ${error.message}`, value: { detail: error.message } };
  if (error instanceof UnreachableError) {
    const text = `strat: ${error.message}\n  start it:       strat up\n  or another:     --url, STRATIFORM_URL, or STRATIFORM_HOME`;
    return { code: exitCodes.unreachable, text, value: { code: "unreachable", detail: error.message } };
  }
  // A defect of the command itself: the stack is what its maintainers need.
  const text = error instanceof Error ? (error.stack ?? error.message) : String(error);
  return { code: exitCodes.failed, text: `strat: ${text}`, value: { code: "internal", detail: String(error) } };
}

function problemText({ problem }: ProblemError): string {
  const text = refusalText(problem.detail, problem.refusals);
  const isExplained = problem.code !== "internal" && problem.refusals.length > 0;
  return isExplained ? text : `${text}\n${faint(`  request   ${problem.requestId} (${problem.code})`)}`;
}

function refusalText(message: string, refusals: readonly Refusal[]): string {
  const lines = [`strat: ${strong(message)}`];
  for (const { constraint, source, nearest } of refusals) {
    if (!message.includes(constraint)) lines.push(`  rule      ${constraint}`);
    lines.push(`  source    ${source}`, `  nearest   ${nearest}`);
  }
  return lines.join("\n");
}
