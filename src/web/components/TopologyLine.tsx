/** A line of the drawing with its arrow head, which is a part of it and not a marker that is defined elsewhere. */
import { getBezierPath, Position, type Edge, type EdgeProps } from "@xyflow/react";

export type LineEdge = Edge<{ readonly color: string; readonly isDashed: boolean }>;

const headLength = 7;
const headHalf = 4;

export function TopologyLine({ sourceX, sourceY, targetX, targetY, sourcePosition, targetPosition, data }: EdgeProps<LineEdge>) {
  const isDown = targetPosition === Position.Top;
  const endX = isDown ? targetX : targetX - headLength;
  const endY = isDown ? targetY - headLength : targetY;
  const [path] = getBezierPath({ sourceX, sourceY, sourcePosition, targetX: endX, targetY: endY, targetPosition });
  const head = isDown
    ? `M${targetX - headHalf},${endY}h${2 * headHalf}L${targetX},${targetY}Z`
    : `M${endX},${targetY - headHalf}v${2 * headHalf}L${targetX},${targetY}Z`;
  return (
    <>
      <path
        d={path}
        fill="none"
        style={{ stroke: data?.color, strokeWidth: 1.6, ...(data?.isDashed === true && { strokeDasharray: "5 4" }) }}
      />
      <path d={head} style={{ fill: data?.color }} />
    </>
  );
}
