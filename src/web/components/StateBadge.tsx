/** A state as shape, colour and word. */
import { meaningOf, type Noun, type Tone } from "../state.ts";
import classes from "./StateBadge.module.css";

export function StateBadge({ noun, state, word }: { readonly noun: Noun; readonly state: string; readonly word?: string }) {
  const { tone, sentence } = meaningOf(noun, state);
  return (
    <span className={classes.badge} data-tone={tone} title={sentence}>
      <ToneSign tone={tone} />
      {word ?? state.replace("_", " ")}
    </span>
  );
}

const shapes: Readonly<Record<Tone, React.ReactNode>> = {
  good: (
    <>
      <circle cx="8" cy="8" r="6.5" fill="currentColor" />
      <path d="M5 8.2 7.2 10.4 11 6" fill="none" stroke="var(--sign-cut)" strokeWidth="1.7" strokeLinecap="round" strokeLinejoin="round" />
    </>
  ),
  busy: (
    <>
      <circle cx="8" cy="8" r="5.7" fill="none" stroke="currentColor" strokeWidth="1.6" opacity="0.35" />
      <path d="M8 2.3a5.7 5.7 0 0 1 5.7 5.7" fill="none" stroke="currentColor" strokeWidth="1.9" strokeLinecap="round" />
    </>
  ),
  bad: (
    <>
      <path d="M8 1.6 15 14H1Z" fill="currentColor" stroke="currentColor" strokeWidth="1" strokeLinejoin="round" />
      <path d="M8 6v4M8 11.9v.2" stroke="var(--sign-cut)" strokeWidth="1.7" strokeLinecap="round" />
    </>
  ),
  warn: (
    <>
      <path d="M8 1 15 8 8 15 1 8Z" fill="currentColor" />
      <path d="M8 5v3.6M8 10.8v.2" stroke="var(--sign-cut)" strokeWidth="1.7" strokeLinecap="round" />
    </>
  ),
  idle: <rect x="2.6" y="2.6" width="10.8" height="10.8" rx="2.4" fill="none" stroke="currentColor" strokeWidth="1.7" />,
};

export function ToneSign({ tone }: { readonly tone: Tone }) {
  return (
    <svg className={classes.sign} data-tone={tone} viewBox="0 0 16 16" width="13" height="13" aria-hidden="true" focusable="false">
      {shapes[tone]}
    </svg>
  );
}
