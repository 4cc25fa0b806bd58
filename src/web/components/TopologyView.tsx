/**
 * The topology as a drawing. Its geometry is computed (`topology-layout.ts`), so nothing moves when states change, and nothing is measured.
 * The drawing is hidden from screen readers, which get the same in sentences.
 */
import { VisuallyHidden } from "@mantine/core";
import { Position, ReactFlow, type Node, type NodeHandle } from "@xyflow/react";
import { useMemo, type CSSProperties } from "react";
import { useWidth } from "../room.ts";
import { boxSize, layoutOf, type Layout } from "../topology-layout.ts";
import { topologyText, type ExposureBox, type Line, type TierBox, type Topology } from "../topology.ts";
import { ExposureNode, headHandleY, LabelNode, machineHandleY, TierNode } from "./TopologyNodes.tsx";
import { TopologyLine, type LineEdge } from "./TopologyLine.tsx";
import classes from "./TopologyView.module.css";

const nodeTypes = { tier: TierNode, exposure: ExposureNode, label: LabelNode };
const edgeTypes = { line: TopologyLine };
/** Before the room is known. */
const heightAtFirst = 260;

export function TopologyView({ topology }: { readonly topology: Topology }) {
  const { ref, width } = useWidth();
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
          <div className={classes.drawing} style={sizeOf(layout)}>
            <ReactFlow
              nodes={[...nodesOf(topology, layout), ...labelsOf(topology, layout)]}
              edges={edgesOf(topology.lines, layout.direction)}
              nodeTypes={nodeTypes}
              edgeTypes={edgeTypes}
              viewport={{ x: 0, y: 0, zoom: layout.zoom }}
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

function sizeOf({ width, height, zoom }: Layout): CSSProperties {
  return { width: width * zoom, "--drawing-width": `${width}px`, "--drawing-height": `${height}px` } as CSSProperties;
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

const labelHeight = 18;
const labelWidthDown = 180;

/** Labels are boxes of their own: above the first of the lines they belong to, so that no line crosses them. */
function labelsOf({ lines, exposures, tiers }: Topology, { direction, places }: Layout): Node[] {
  const headY = (id: string) => (exposures.some((box) => box.id === id) ? boxSize.exposureHeight / 2 : headHandleY);
  const targetY = ({ to, toMachine }: Line) => {
    const index = tiers.find(({ id }) => id === to)?.machines.findIndex(({ name }) => name === toMachine) ?? -1;
    return index < 0 ? headHandleY : machineHandleY(index);
  };
  return lines
    .filter(({ label }) => label !== "")
    .map((line): Node => {
      const from = places.get(line.from)!;
      const to = places.get(line.to)!;
      const start = from.x + from.width;
      const width = direction === "down" ? labelWidthDown : to.x - start;
      const position =
        direction === "down"
          ? { x: from.x + from.width / 2 + 8, y: (from.y + from.height + to.y - labelHeight) / 2 }
          : { x: start, y: Math.min(from.y + headY(line.from), to.y + targetY(line)) - labelHeight - 2 };
      const data = { label: line.label, isCentred: direction === "right" };
      return {
        id: `label:${line.id}`,
        type: "label",
        data,
        position,
        width,
        height: labelHeight,
        measured: { width, height: labelHeight },
      };
    });
}

function edgesOf(lines: readonly Line[], direction: Layout["direction"]): LineEdge[] {
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
      type: "line",
      data: { color, isDashed: line.kind === "needs" },
    };
  });
}
