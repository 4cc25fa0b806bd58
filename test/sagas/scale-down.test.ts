import { scale } from "#processes/scale.ts";
import { sagaSuite } from "../support/saga-suite.ts";

sagaSuite(scale, {
  before: "running",
  offering: "solo",
  parameters: { nodes: 2, doors: 1 },
  done: "running",
  undone: "owned",
  forward: true,
  input: { tier: "node", count: 1 },
  again: [["scale", { tier: "node", count: 2 }]],
});
