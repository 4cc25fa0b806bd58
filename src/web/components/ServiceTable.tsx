/** Services, one a row. On a narrow screen each row is a card; the roles keep it a table for those who hear it. */
import { Link } from "@tanstack/react-router";
import { amount, counted } from "../format.ts";
import type { Machine, VappSummary } from "../query.ts";
import { meaningOf, type Tone } from "../state.ts";
import { Age } from "./Age.tsx";
import { StateBadge, ToneSign } from "./StateBadge.tsx";
import classes from "./ServiceTable.module.css";

export interface ServiceTableProps {
  readonly vapps: readonly VappSummary[];
  /** Undefined while they are not known. */
  readonly machines: readonly Machine[] | undefined;
}

const columns = ["Service", "State", "Machines", "Site", "Cost per hour", "Age"] as const;

export function ServiceTable({ vapps, machines }: ServiceTableProps) {
  const ofVapp = Map.groupBy(machines ?? [], ({ vapp }) => vapp);
  return (
    <div className={classes.frame}>
      <table role="table" className={classes.table} aria-label="Services">
        <thead role="rowgroup">
          <tr role="row">
            {columns.map((column) => (
              <th key={column} role="columnheader" scope="col" data-column={column}>
                {column}
              </th>
            ))}
          </tr>
        </thead>
        <tbody role="rowgroup">
          {vapps.map((vapp) => (
            <Row key={vapp.id} vapp={vapp} machines={machines === undefined ? undefined : (ofVapp.get(vapp.name) ?? [])} />
          ))}
        </tbody>
      </table>
    </div>
  );
}

function Row({ vapp, machines }: { readonly vapp: VappSummary; readonly machines: readonly Machine[] | undefined }) {
  return (
    <tr role="row" className={classes.row}>
      <th role="rowheader" scope="row">
        <Link to="/services/$vapp" params={{ vapp: vapp.name }} className={classes.name}>
          {vapp.name}
        </Link>
        <span className={classes.offering}>{vapp.offering}</span>
      </th>
      <td role="cell">
        <StateBadge noun="vapp" state={vapp.state} />
      </td>
      <td role="cell" data-label="Machines">
        {machines === undefined ? "…" : <MachineCounts machines={machines} />}
      </td>
      <td role="cell" data-label="Site">
        {vapp.site}
      </td>
      <td role="cell" data-label="Cost" className={classes.figure}>
        {amount(vapp.costPerHour)} {vapp.currency}
        <span className={classes.unit}> per hour</span>
      </td>
      <td role="cell" data-label="Age">
        <Age at={vapp.createdAt} suffix={false} />
      </td>
    </tr>
  );
}

const order: readonly Tone[] = ["bad", "warn", "busy", "good", "idle"];

/** What is wrong comes first. */
function MachineCounts({ machines }: { readonly machines: readonly Machine[] }) {
  if (machines.length === 0) return <span className={classes.unit}>none</span>;
  const counts = [...Map.groupBy(machines, ({ state }) => state)]
    .map(([state, of]) => ({ state, count: of.length, tone: meaningOf("machine", state).tone }))
    .toSorted((a, b) => order.indexOf(a.tone) - order.indexOf(b.tone));
  return (
    <ul className={classes.counts} aria-label={counted(machines.length, "machine")}>
      {counts.map(({ state, count, tone }) => (
        <li key={state}>
          <ToneSign tone={tone} />
          {count} {state}
        </li>
      ))}
    </ul>
  );
}
