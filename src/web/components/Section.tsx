/** A part of a page with a heading that can be linked to. */
import type { ReactNode } from "react";
import classes from "./Section.module.css";

export interface SectionProps {
  readonly id: string;
  readonly title: string;
  /** Beside the title. */
  readonly aside?: ReactNode;
  /** True: what is in it reaches the border. */
  readonly flush?: boolean;
  readonly children: ReactNode;
}

export function Section({ id, title, aside, flush = false, children }: SectionProps) {
  return (
    <section className={classes.section} aria-labelledby={id}>
      <header className={classes.head}>
        <h2 id={id}>{title}</h2>
        {aside !== undefined && <div className={classes.aside}>{aside}</div>}
      </header>
      <div className={classes.body} data-flush={flush}>
        {children}
      </div>
    </section>
  );
}
