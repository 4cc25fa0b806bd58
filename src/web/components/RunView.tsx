/** A run as it goes: each step with its state, when it began and how long it took, drawn along the time of the run. */
import { Progress } from "@mantine/core";
import { useEffect, useRef, type RefObject } from "react";
import { useNow } from "../clock.ts";
import { counted } from "../format.ts";
import type { Run, RunStep } from "../query.ts";
import { meaningOf } from "../state.ts";
import { Duration } from "./Age.tsx";
import { StateBadge, ToneSign } from "./StateBadge.tsx";
import classes from "./RunView.module.css";

export function RunHead({ run }: { readonly run: Run }) {
  const done = run.steps.filter(({ state }) => state === "ok").length;
  return (
    <span className={classes.summary} role="status">
      <StateBadge noun="run" state={run.state} />
      <span>
        {done} of {counted(run.steps.length, "step")} done
      </span>
      <Duration from={run.createdAt} to={run.finishedAt} />
    </span>
  );
}

export function RunView({ run }: { readonly run: Run }) {
  const now = useNow();
  const begin = Date.parse(run.createdAt);
  const end = run.finishedAt === null ? Math.max(now, begin + 1) : Date.parse(run.finishedAt);
  const done = run.steps.filter(({ state }) => state === "ok").length;
  const { tone } = meaningOf("run", run.state);
  const list = useFollowing(run);
  return (
    <>
      <Progress
        className={classes.progress}
        value={run.steps.length === 0 ? 0 : (done / run.steps.length) * 100}
        color={`var(--${tone})`}
        size="sm"
        aria-label={`${run.action}: ${done} of ${run.steps.length} steps done`}
      />
      {/* It scrolls by itself, so it can be reached with the keyboard. */}
      <ol ref={list} className={classes.steps} tabIndex={0} aria-label={`Steps of the run ${run.action}`}>
        {run.steps.map((step) => (
          <StepLine key={step.id} step={step} begin={begin} end={end} />
        ))}
      </ol>
    </>
  );
}

const rowsBefore = 4;

/** Keeps what happens now in sight, unless somebody reads elsewhere in the list. */
function useFollowing(run: Run): RefObject<HTMLOListElement | null> {
  const list = useRef<HTMLOListElement>(null);
  const current = run.finishedAt !== null ? -1 : run.steps.findIndex(({ state }) => state === "running" || state === "undoing");
  useEffect(() => {
    const { current: box } = list;
    const line = box?.children[current];
    if (box === null || !(line instanceof HTMLElement) || box.matches(":hover, :focus-within")) return;
    box.scrollTop = line.offsetTop - box.offsetTop - rowsBefore * line.offsetHeight;
  }, [current]);
  return list;
}

function StepLine({ step, begin, end }: { readonly step: RunStep; readonly begin: number; readonly end: number }) {
  const { tone, sentence } = meaningOf("step", step.state);
  return (
    <li className={classes.step} data-state={step.state}>
      <ToneSign tone={tone} />
      <span className={classes.title} title={`${step.kind}: ${sentence}`}>
        {step.title}
        {step.attempts > 1 && <span className={classes.attempts}> attempt {step.attempts}</span>}
      </span>
      <span className={classes.state} data-tone={tone}>
        {step.state.replace("_", " ")}
      </span>
      <StepBar step={step} begin={begin} end={end} />
      <span className={classes.time}>{step.startedAt !== null && <Duration from={step.startedAt} to={endOf(step)} />}</span>
      {step.error !== null && (
        <span className={classes.error}>
          {step.error.message} <span className="mono">({step.error.code})</span>
        </span>
      )}
    </li>
  );
}

/** A step that is not going on and has no end was never finished: nothing about it ticks. */
function endOf({ state, startedAt, finishedAt }: RunStep): string | null {
  return finishedAt ?? (state === "running" || state === "undoing" || state === "waiting" ? null : startedAt);
}

/** Shorter would not be seen. */
const smallestShare = 0.6;

function StepBar({ step, begin, end }: { readonly step: RunStep; readonly begin: number; readonly end: number }) {
  if (step.startedAt === null) return <span className={classes.track} />;
  const until = endOf(step);
  const share = (at: number) => Math.min(100, Math.max(0, ((at - begin) / Math.max(1, end - begin)) * 100));
  const left = Math.min(share(Date.parse(step.startedAt)), 100 - smallestShare);
  const width = Math.max(smallestShare, share(until === null ? end : Date.parse(until)) - left);
  return (
    <span className={classes.track}>
      <span className={classes.bar} data-tone={meaningOf("step", step.state).tone} style={{ left: `${left}%`, width: `${width}%` }} />
    </span>
  );
}
