/** Progress of a run on stderr: a list that is redrawn on a terminal, one line a finished step elsewhere. */
import { styleText } from "node:util";
import type { Schemas } from "#sdk/client.ts";
import { duration } from "#cli/text.ts";

type Run = Schemas["Run"];
type Step = Run["steps"][number];

export interface Progress {
  update(run: Run): void;
  /** Leaves the last state on the screen. */
  end(): void;
}

const settledStates: readonly string[] = ["ok", "failed", "undone", "undo_failed"];
const spinner = ["⠋", "⠙", "⠹", "⠸", "⠼", "⠴", "⠦", "⠧", "⠇", "⠏"];
const redrawMs = 100;

export function showProgress(run: Run): Progress {
  return process.stderr.isTTY ? liveProgress(run) : lineProgress(run);
}

function lineProgress(run: Run): Progress {
  const printed = new Map<string, string>();
  const update = (latest: Run) => {
    for (const step of latest.steps) {
      if (!settledStates.includes(step.state) || printed.get(step.id) === step.state) continue;
      printed.set(step.id, step.state);
      process.stderr.write(
        `${`[${printed.size}/${latest.steps.length}]`.padEnd(8)} ${step.state.padEnd(6)} ${took(step).padStart(7)}  ${titleOf(step)}\n`,
      );
    }
  };
  update(run);
  return { update, end: () => {} };
}

function liveProgress(run: Run): Progress {
  let latest = run;
  let turn = 0;
  let drawn = 0;
  const draw = () => {
    turn += 1;
    const lines = liveLines(latest, turn, (process.stderr.rows ?? 24) - 2, (process.stderr.columns ?? 80) - 1);
    // Up to where the list began, then every line anew.
    process.stderr.write(`${drawn > 0 ? `\x1b[${drawn}F` : ""}\x1b[J${lines.join("\n")}\n`);
    drawn = lines.length;
  };
  draw();
  const timer = setInterval(draw, redrawMs);
  return {
    update: (next) => void (latest = next),
    end() {
      clearInterval(timer);
      draw();
    },
  };
}

/** A list longer than the screen shows what is under way; the rest is counted. */
export function liveLines(run: Run, turn: number, rows: number, columns: number): string[] {
  const settled = run.steps.filter(({ state }) => settledStates.includes(state)).length;
  const failed = run.steps.filter(({ state }) => state === "failed" || state === "undo_failed");
  const under = run.steps.filter(({ state }) => !settledStates.includes(state) && state !== "pending");
  const shown = run.steps.length <= rows ? run.steps : [...failed, ...under].slice(0, rows - 1);
  const lines = shown.map((step) => `${mark(step, turn)} ${`${titleOf(step)}  ${took(step)}`.slice(0, columns - 2).trimEnd()}`);
  return shown === run.steps ? lines : [...lines, `${settled} of ${run.steps.length} steps`];
}

function mark(step: Step, turn: number): string {
  if (step.state === "ok") return styleText("green", "✔");
  if (step.state === "failed" || step.state === "undo_failed") return styleText("red", "✖");
  if (step.state === "undone") return styleText("yellow", "↶");
  return step.state === "pending" ? styleText("dim", "·") : styleText("cyan", spinner[turn % spinner.length]!);
}

function titleOf(step: Step): string {
  return step.error === null ? step.title : `${step.title}: ${step.error.message}`;
}

function took(step: Step): string {
  if (step.startedAt === null) return "";
  return duration((step.finishedAt === null ? Date.now() : Date.parse(step.finishedAt)) - Date.parse(step.startedAt));
}
