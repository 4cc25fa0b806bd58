/** Nothing is there yet: what to do. */
import { CommandLine } from "./CommandLine.tsx";
import { Mark } from "./Mark.tsx";
import classes from "./EmptyServices.module.css";

export function EmptyServices() {
  return (
    <section className={classes.empty} aria-labelledby="nothing">
      <Mark size={44} />
      <h2 id="nothing">Nothing runs here yet</h2>
      <p>
        Order an offering of the catalogue; it appears here while it is being made. You see the plan and its price before anything happens.
      </p>
      <ol>
        <li>
          What can be ordered:
          <CommandLine command="strat offering ls" />
        </li>
        <li>
          Order one:
          <CommandLine command="strat order tiny" />
        </li>
      </ol>
      <p className={classes.more}>
        On a machine without a site, <code>npm run demo</code> makes one with everything in it.
      </p>
    </section>
  );
}
