/** Where the boxes of a topology stand: from outside to inside, from left to right where there is room and else from top to bottom. */
import type { Topology, TierBox } from "./topology.ts";

export const boxSize = {
  tierWidth: 262,
  exposureWidth: 190,
  exposureHeight: 62,
  headHeight: 72,
  machineHeight: 46,
  footHeight: 10,
  moreHeight: 26,
  gapAcross: 140,
  gapDown: 62,
  gapBeside: 28,
  margin: 4,
} as const;

/** Smaller is no longer read easily. */
const smallestZoom = 0.8;

export interface Place {
  readonly id: string;
  readonly x: number;
  readonly y: number;
  readonly width: number;
  readonly height: number;
}

export interface Layout {
  readonly direction: "right" | "down";
  readonly width: number;
  readonly height: number;
  readonly zoom: number;
  readonly places: ReadonlyMap<string, Place>;
}

interface Box {
  readonly id: string;
  readonly width: number;
  readonly height: number;
}

export function layoutOf(topology: Topology, availableWidth: number): Layout {
  const columns = columnsOf(topology);
  const right = placed(columns, "right");
  if (right.width * smallestZoom <= availableWidth) return { ...right, zoom: Math.min(1, availableWidth / right.width) };
  const down = placed(columns, "down");
  return { ...down, zoom: Math.min(1, availableWidth / down.width) };
}

export function tierHeight({ machines, machinesLeftOut }: TierBox): number {
  const { headHeight, machineHeight, footHeight, moreHeight } = boxSize;
  return headHeight + machines.length * machineHeight + (machinesLeftOut > 0 ? moreHeight : 0) + footHeight;
}

function columnsOf({ exposures, tiers }: Topology): Box[][] {
  const outside = exposures.map(({ id }) => ({ id, width: boxSize.exposureWidth, height: boxSize.exposureHeight }));
  const byRank = Map.groupBy(tiers, ({ rank }) => rank);
  const inside = [...byRank.keys()]
    .toSorted((a, b) => a - b)
    .map((rank) => byRank.get(rank)!.map((tier) => ({ id: tier.id, width: boxSize.tierWidth, height: tierHeight(tier) })));
  return [outside, ...inside].filter((column) => column.length > 0);
}

/** Along the direction columns follow each other; across it the boxes of a column are centred. */
function placed(columns: readonly (readonly Box[])[], direction: "right" | "down"): Omit<Layout, "zoom"> {
  const isRight = direction === "right";
  const along = (box: Box) => (isRight ? box.width : box.height);
  const across = (box: Box) => (isRight ? box.height : box.width);
  const { gapAcross, gapDown, gapBeside, margin } = boxSize;
  const spans = columns.map((column) => column.reduce((sum, box) => sum + across(box), gapBeside * (column.length - 1)));
  const widest = Math.max(0, ...spans);
  const places = new Map<string, Place>();
  let start: number = margin;
  for (const [index, column] of columns.entries()) {
    const length = Math.max(...column.map(along));
    let offset = margin + (widest - spans[index]!) / 2;
    for (const box of column) {
      places.set(box.id, { ...box, x: isRight ? start : offset, y: isRight ? offset : start });
      offset += across(box) + gapBeside;
    }
    start += length + (isRight ? gapAcross : gapDown);
  }
  const total = Math.max(0, start - (isRight ? gapAcross : gapDown)) + margin;
  const size = widest + 2 * margin;
  return { direction, places, width: isRight ? total : size, height: isRight ? size : total };
}
