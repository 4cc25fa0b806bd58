/** Machines of a vApp; each row opens to why it is where it is, and to every fact about it with source and age. */
import { UnstyledButton } from "@mantine/core";
import { useState } from "react";
import { memory } from "../format.ts";
import type { Machine } from "../query.ts";
import { Age } from "./Age.tsx";
import { Chevron } from "./Chevron.tsx";
import { FactTable } from "./FactTable.tsx";
import { StateBadge } from "./StateBadge.tsx";
import classes from "./MachineTable.module.css";

const columns = ["Machine", "State", "Seen", "Addresses", "Where", "Size"] as const;

export function MachineTable({ machines }: { readonly machines: readonly Machine[] }) {
  const [open, setOpen] = useState<ReadonlySet<string>>(new Set());
  const toggle = (id: string) =>
    setOpen((before) => (before.has(id) ? new Set([...before].filter((one) => one !== id)) : new Set([...before, id])));
  if (machines.length === 0) return <p className={classes.none}>It has no machines.</p>;
  return (
    <table role="table" className={classes.table} aria-label="Machines">
      <thead role="rowgroup">
        <tr role="row">
          {columns.map((column) => (
            <th key={column} role="columnheader" scope="col">
              {column}
            </th>
          ))}
        </tr>
      </thead>
      {machines.map((machine) => (
        <MachineRows key={machine.id} machine={machine} isOpen={open.has(machine.id)} onToggle={() => toggle(machine.id)} />
      ))}
    </table>
  );
}

interface MachineRowsProps {
  readonly machine: Machine;
  readonly isOpen: boolean;
  onToggle(): void;
}

function MachineRows({ machine, isOpen, onToggle }: MachineRowsProps) {
  const details = `details-${machine.id}`;
  const isAsWanted = machine.desired === machine.state || machine.state === "planned";
  return (
    <tbody role="rowgroup" className={classes.group}>
      <tr role="row" className={classes.row}>
        <th role="rowheader" scope="row">
          <UnstyledButton className={classes.toggle} aria-expanded={isOpen} aria-controls={isOpen ? details : undefined} onClick={onToggle}>
            <Chevron isOpen={isOpen} />
            <span>
              {machine.name}
              <span className={classes.kind}>{machine.kind === "vm" ? "virtual machine" : "container"}</span>
            </span>
          </UnstyledButton>
        </th>
        <td role="cell">
          <StateBadge noun="machine" state={machine.state} />
          {!isAsWanted && <span className={classes.wanted}>wanted {machine.desired}</span>}
        </td>
        <td role="cell" data-label="Seen">
          <LastSeen machine={machine} />
        </td>
        <td role="cell" data-label="Addresses">
          {machine.addresses.length === 0 && <span className={classes.faint}>none</span>}
          {machine.addresses.map(({ segment, address }) => (
            <span key={segment} className={classes.address}>
              <span className="mono">{address}</span> <span className={classes.faint}>{segment}</span>
            </span>
          ))}
        </td>
        <td role="cell" data-label="Where">
          {machine.endpoint} <span className={classes.faint}>{machine.provider}</span>
        </td>
        <td role="cell" data-label="Size">
          {machine.size}{" "}
          <span className={classes.faint}>
            {machine.vcpus} vCPU, {memory(machine.memoryMiB)}
          </span>
        </td>
      </tr>
      {isOpen && (
        <tr role="row" id={details} className={classes.details}>
          <td role="cell" colSpan={columns.length}>
            <dl className={classes.why}>
              <dt>Why here</dt>
              <dd>{machine.reason}</dd>
              <dt>At the endpoint</dt>
              <dd>
                <span className="mono">{machine.externalName}</span>, image {machine.image}
              </dd>
              <dt>State since</dt>
              <dd>
                <Age at={machine.stateAt} />
              </dd>
              <dt>Answered</dt>
              <dd>{machine.healthyAt === null ? "not yet, since it last started" : <Age at={machine.healthyAt} />}</dd>
            </dl>
            <FactTable facts={machine.facts} of={machine.name} />
          </td>
        </tr>
      )}
    </tbody>
  );
}

/** When and by whom its power was looked at last; without a look there is only the state we know of. */
function LastSeen({ machine }: { readonly machine: Machine }) {
  const latest = machine.facts.toSorted((a, b) => Date.parse(b.observedAt) - Date.parse(a.observedAt))[0];
  if (latest === undefined) return <span className={classes.faint}>not yet</span>;
  return (
    <>
      <Age at={latest.observedAt} /> <span className={classes.faint}>{latest.source}</span>
    </>
  );
}
