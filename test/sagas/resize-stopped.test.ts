import { sagaSuite } from "../support/saga-suite.ts";
import { resizeStopped } from "../support/chaos-processes.ts";

sagaSuite(resizeStopped, {
  before: "running",
  offering: "solo",
  parameters: { nodes: 2, doors: 1 },
  done: "running",
  undone: "running",
  input: { tier: "node", size: "tiny" },
  again: [["resize", { tier: "node", size: "nano" }]],
});
