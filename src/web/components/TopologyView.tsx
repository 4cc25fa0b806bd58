/**
 * The topology as a drawing. Its geometry is computed (`topology-layout.ts`), so nothing moves when states change, and nothing is measured.
 * The drawing is hidden from screen readers, which get the same in sentences.
 */
import { VisuallyHidden } from "@mantine/core";
import { useElementSize } from "@mantine/hooks";
import { MarkerType, Position, ReactFlow, type Edge, type Node, type NodeHandle } from "@xyflow/react";
import { useMemo } from "react";
import { boxSize, layoutOf, type Layout } from "../topology-layout.ts";
import { topologyText, type ExposureBox, type Line, type TierBox, type Topology } from "../topology.ts";
import { ExposureNode, headHandleY, machineHandleY, TierNode } from "./TopologyNodes.tsx";
import classes from "./TopologyView.module.css";

const nodeTypes = { tier: TierNode, exposure: ExposureNode };
/** Before the room is known. */
const heightAtFirst = 260;

export function TopologyView({ topology }: { readonly topology: Topology }) {
  const { ref, width } = useElementSize();
  const layout = useMemo(() => (width === 0 ? null : layoutOf(topology, width)), [topology, width]);
  return (
    <>
      <VisuallyHidden>
        <ul>
          {topologyText(topology).map((sentence) => (
            <li key={sentence}>{sentence}</li>
          ))}
        </ul>
      </VisuallyHidden>
      <div
        ref={ref}
        className={classes.room}
        aria-hidden="true"
        style={{ height: layout === null ? heightAtFirst : layout.height * layout.zoom }}
      >
        {layout !== null && (
          <div className={classes.drawing} style={{ width: layout.width * layout.zoom }}>
            <ReactFlow
              // Where the room changes its shape, everything stands elsewhere.
              key={`${layout.direction} ${layout.zoom}`}
              nodes={nodesOf(topology, layout)}
              edges={edgesOf(topology.lines, layout.direction)}
              nodeTypes={nodeTypes}
              defaultViewport={{ x: 0, y: 0, zoom: layout.zoom }}
              minZoom={0.1}
              nodesDraggable={false}
              nodesConnectable={false}
              nodesFocusable={false}
              edgesFocusable={false}
              elementsSelectable={false}
              panOnDrag={false}
              zoomOnScroll={false}
              zoomOnPinch={false}
              zoomOnDoubleClick={false}
              preventScrolling={false}
              disableKeyboardA11y
              proOptions={{ hideAttribution: true }}
            />
          </div>
        )}
      </div>
    </>
  );
}

function nodesOf({ exposures, tiers }: Topology, layout: Layout): Node[] {
  const node = (id: string, type: string, data: ExposureBox | TierBox, handles: NodeHandle[]): Node => {
    const { x, y, width, height } = layout.places.get(id)!;
    return { id, type, data: { ...data }, position: { x, y }, width, height, measured: { width, height }, handles };
  };
  return [
    ...exposures.map((box) => node(box.id, "exposure", box, handlesOf(layout, box.id, boxSize.exposureHeight / 2, []))),
    ...tiers.map((box) =>
      node(
        box.id,
        "tier",
        box,
        handlesOf(
          layout,
          box.id,
          headHandleY,
          box.machines.map(({ name }) => name),
        ),
      ),
    ),
  ];
}

/** Where lines begin and end at a box; from top to bottom they end at the box, not at a machine in it. */
function handlesOf({ direction, places }: Layout, id: string, headY: number, machines: readonly string[]): NodeHandle[] {
  const { width, height } = places.get(id)!;
  const point = { width: 1, height: 1 };
  if (direction === "down") {
    return [
      { ...point, id: "out", type: "source", position: Position.Bottom, x: width / 2, y: height },
      { ...point, id: "in", type: "target", position: Position.Top, x: width / 2, y: 0 },
    ];
  }
  return [
    { ...point, id: "out", type: "source", position: Position.Right, x: width, y: headY },
    { ...point, id: "in", type: "target", position: Position.Left, x: 0, y: headY },
    ...machines.map((name, index) => ({
      ...point,
      id: `in:${name}`,
      type: "target" as const,
      position: Position.Left,
      x: 0,
      y: machineHandleY(index),
    })),
  ];
}

function edgesOf(lines: readonly Line[], direction: Layout["direction"]): Edge[] {
  const isDown = direction === "down";
  // From top to bottom there is one line between two boxes, however many machines it leads to.
  const ofBoxes = Map.groupBy(lines, (line) => `${line.from} ${line.to}`).values();
  const shown = isDown ? ofBoxes.map((group) => group.find(({ label }) => label !== "") ?? group[0]!) : lines.values();
  return [...shown].map((line) => {
    const color = line.tone === null || isDown ? "var(--line-ink)" : `var(--${line.tone})`;
    return {
      id: line.id,
      source: line.from,
      target: line.to,
      sourceHandle: "out",
      targetHandle: line.toMachine === null || isDown ? "in" : `in:${line.toMachine}`,
      type: "default",
      ...(line.label !== "" && { label: line.label, zIndex: 1 }),
      style: { stroke: color, strokeWidth: 1.6, ...(line.kind === "needs" && { strokeDasharray: "5 4" }) },
      markerEnd: { type: MarkerType.ArrowClosed, color, width: 16, height: 16 },
      labelBgPadding: [5, 2] as [number, number],
      labelBgBorderRadius: 4,
    };
  });
}
