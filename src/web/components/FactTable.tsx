/** Facts: what was observed, where, and how long ago. Nothing is shown without both. The roles keep it a table on narrow screens. */
import { attribute, factText } from "../format.ts";
import type { Fact } from "../query.ts";
import { Age } from "./Age.tsx";
import classes from "./FactTable.module.css";

export function FactTable({ facts, of }: { readonly facts: readonly Fact[]; readonly of: string }) {
  if (facts.length === 0) return <p className={classes.none}>Nothing has been observed of {of} yet.</p>;
  return (
    <div className={classes.scroll} role="region" tabIndex={0} aria-label={`Facts about ${of}`}>
      <table role="table" className={classes.table}>
        <thead role="rowgroup">
          <tr role="row">
            <th role="columnheader" scope="col">
              Layer
            </th>
            <th role="columnheader" scope="col">
              Fact
            </th>
            <th role="columnheader" scope="col">
              Value
            </th>
            <th role="columnheader" scope="col">
              Source and age
            </th>
          </tr>
        </thead>
        <tbody role="rowgroup">
          {facts.map((fact) => (
            <tr role="row" key={`${fact.layer} ${fact.name} ${fact.source}`}>
              <td role="cell">{fact.layer}</td>
              <th role="rowheader" scope="row">
                {attribute(fact.name)}
              </th>
              <td role="cell" className={classes.value}>
                {factText(fact.value)}
              </td>
              <td role="cell" className={classes.origin}>
                <Age at={fact.observedAt} />, {fact.source}
              </td>
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}
