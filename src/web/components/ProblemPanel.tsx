/** What went wrong, in the server's own words: each refusal with the rule, where it comes from, and what would be accepted. */
import { Button } from "@mantine/core";
import { ProblemError, UnreachableError, type Problem } from "#sdk/client.ts";
import { ToneSign } from "./StateBadge.tsx";
import classes from "./ProblemPanel.module.css";

export interface ProblemPanelProps {
  readonly error: Error;
  /** What could not be done, such as "The services cannot be shown". */
  readonly what: string;
  readonly onRetry?: () => void;
}

export function ProblemPanel({ error, what, onRetry }: ProblemPanelProps) {
  return (
    <div className={classes.panel} role="alert">
      <ToneSign tone="bad" />
      <div className={classes.body}>
        <p className={classes.what}>{what}</p>
        {error instanceof ProblemError ? <Explained problem={error.problem} /> : <p>{plainText(error)}</p>}
        {onRetry !== undefined && (
          <Button size="compact-sm" variant="default" onClick={onRetry}>
            Try again
          </Button>
        )}
      </div>
    </div>
  );
}

function plainText(error: Error): string {
  if (error instanceof UnreachableError)
    return `Nobody answers at ${error.url}. The control plane may be starting or stopped; this page goes on when it answers again.`;
  return `The console itself failed: ${error.message}`;
}

function Explained({ problem }: { readonly problem: Problem }) {
  return (
    <>
      <p>{problem.detail}</p>
      {problem.refusals.map(({ constraint, source, nearest }) => (
        <dl key={`${constraint} ${source}`} className={classes.refusal}>
          <dt>Rule</dt>
          <dd>{constraint}</dd>
          <dt>From</dt>
          <dd>{source}</dd>
          <dt>Instead</dt>
          <dd>{nearest}</dd>
        </dl>
      ))}
      <p className={classes.trace}>
        {problem.code} · request <span className="mono">{problem.requestId}</span>
      </p>
    </>
  );
}
