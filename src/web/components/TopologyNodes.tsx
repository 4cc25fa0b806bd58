/** The boxes of the drawing: an address outside, and a tier with its machines. */
import type { Node, NodeProps } from "@xyflow/react";
import type { Machine } from "../query.ts";
import { meaningOf } from "../state.ts";
import { boxSize } from "../topology-layout.ts";
import type { ExposureBox, TierBox } from "../topology.ts";
import { ToneSign } from "./StateBadge.tsx";
import classes from "./TopologyNodes.module.css";

/** Where lines meet a tier's box, measured from its top. */
export const headHandleY = 24;
export function machineHandleY(index: number): number {
  return boxSize.headHeight + boxSize.machineHeight * (index + 0.5);
}

type Boxed<T> = NodeProps<Node<T & Record<string, unknown>>>;

export function ExposureNode({ data }: Boxed<ExposureBox>) {
  return (
    <div className={classes.exposure} style={{ height: boxSize.exposureHeight }}>
      <svg viewBox="0 0 20 20" width="20" height="20" className={classes.globe} focusable="false">
        <circle cx="10" cy="10" r="7.6" />
        <path d="M2.4 10h15.2M10 2.4c2.4 2 3.6 4.6 3.6 7.6s-1.2 5.6-3.6 7.6M10 2.4C7.6 4.4 6.4 7 6.4 10s1.2 5.6 3.6 7.6" />
      </svg>
      <div className={classes.texts}>
        <span className={classes.small}>from outside</span>
        <span className={`${classes.address} mono`}>{data.label}</span>
      </div>
    </div>
  );
}

export function LabelNode({ data }: Boxed<{ readonly label: string; readonly isCentred: boolean }>) {
  return (
    <div className={classes.label} data-centred={data.isCentred}>
      {data.label}
    </div>
  );
}

export function TierNode({ data }: Boxed<TierBox>) {
  const { headHeight, moreHeight } = boxSize;
  return (
    <div className={classes.tier}>
      <div className={classes.head} style={{ height: headHeight }}>
        <span className={classes.title}>
          {data.tier} <span className={classes.small}>{data.image}</span>
        </span>
        <span className={classes.segments}>
          {data.segments.map(({ name, isolated }) => (
            <span key={name} className={classes.segment} data-isolated={isolated}>
              {isolated ? <Lock /> : <Net />}
              {name}
            </span>
          ))}
        </span>
      </div>
      {data.machines.map((machine) => (
        <MachineLine key={machine.id} machine={machine} />
      ))}
      {data.machinesLeftOut > 0 && (
        <div className={classes.more} style={{ height: moreHeight }}>
          and {data.machinesLeftOut} more
        </div>
      )}
    </div>
  );
}

function MachineLine({ machine }: { readonly machine: Machine }) {
  const { tone } = meaningOf("machine", machine.state);
  return (
    <div className={classes.machine} data-tone={tone} style={{ height: boxSize.machineHeight }}>
      <ToneSign tone={tone} />
      <div className={classes.texts}>
        <span className={classes.name}>
          {machine.name} <span className={classes.small}>{machine.kind === "vm" ? "VM" : "container"}</span>
        </span>
        <span className={`${classes.small} mono`}>{machine.addresses.map(({ address }) => address).join("  ") || "no address yet"}</span>
      </div>
      <span className={classes.word} data-tone={tone}>
        {machine.state}
      </span>
    </div>
  );
}

function Lock() {
  return (
    <svg viewBox="0 0 12 12" width="10" height="10" focusable="false">
      <rect x="2" y="5.2" width="8" height="5.6" rx="1.2" fill="currentColor" />
      <path d="M3.8 5.2V3.6a2.2 2.2 0 0 1 4.4 0v1.6" fill="none" stroke="currentColor" strokeWidth="1.4" />
    </svg>
  );
}

function Net() {
  return (
    <svg viewBox="0 0 12 12" width="10" height="10" focusable="false">
      <path d="M1 6h10M3 6V3M9 6V3M6 6v3" fill="none" stroke="currentColor" strokeWidth="1.4" strokeLinecap="round" />
    </svg>
  );
}
