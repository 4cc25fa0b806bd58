/**
 * What control planes are killed during: for every process the smallest vApp on which it takes each of its steps. A process that undoes
 * itself is killed while it does that too. `chaos-cases.test.ts` compares the list with the processes there are.
 */
import type { PlanRequest } from "#domain/plan.ts";
import type { Expected } from "./world-verdict.ts";

type Order = readonly [action: string, input: PlanRequest["input"]];

export interface ChaosCase {
  /** Of offering `solo`: one machine and nothing else. */
  readonly parameters?: PlanRequest["input"];
  /** Orders after the deployment. */
  readonly first?: readonly Order[];
  readonly input: PlanRequest["input"];
  /** Default `running`. */
  readonly done?: Expected;
  /** What the vApp is after it was undone; absent: it only goes forward. */
  readonly undone?: Expected;
  /** It leaves something to repair, and automation does. */
  readonly heals?: boolean;
}

const balanced = { nodes: 1, doors: 1 };
const kept: Order = ["snapshot", { name: "kept" }];
const deleted: Order = ["delete", { undoHours: 1, graceSeconds: 0 }];

/** By name of the process, and what makes it another case of the same. */
export const chaosCases: Readonly<Record<string, ChaosCase>> = {
  stop: { input: { graceSeconds: 0 }, done: "stopped", undone: "running" },
  start: { first: [["stop", { graceSeconds: 0 }]], input: {}, undone: "stopped" },
  restart: { input: { graceSeconds: 0 }, undone: "running" },
  snapshot: { input: { name: "kept" }, undone: "running" },
  "snapshot-delete": { first: [kept], input: { snapshot: "kept" } },
  revert: { first: [kept], input: { snapshot: "kept" } },
  "volume-grow": { input: { tier: "node", volume: "data", size: "2 GiB" } },
  resize: { input: { tier: "node", size: "tiny" }, undone: "running" },
  reconfigure: { input: { parameters: { lead: 1 } }, undone: "running" },
  delete: { input: { undoHours: 1, graceSeconds: 0 }, done: "stopped", undone: "running" },
  restore: { first: [deleted], input: {}, undone: "stopped" },
  repair: { input: {} },
  scale: { parameters: balanced, input: { tier: "node", count: 2 }, undone: "running" },
  "scale down": { parameters: { nodes: 2, doors: 1 }, input: { tier: "node", count: 1 } },
  "resize-stopped": { parameters: balanced, input: { tier: "node", size: "tiny" }, undone: "running" },
  failover: { parameters: { nodes: 2 }, input: { tier: "node", parameter: "lead" }, heals: true },
};

/** Processes with matrices of their own: test/chaos/sim-kill.test.ts. */
export const ownMatrices: readonly string[] = ["deploy", "purge"];

/** The process of a case. */
export function processOf(name: string): string {
  return name.split(" ")[0]!;
}
