import { volumeGrow } from "#processes/volume-grow.ts";
import { sagaSuite } from "../support/saga-suite.ts";

// What grew does not shrink: every case that ends takes another vApp, so it is a small one.
sagaSuite(volumeGrow, {
  before: "running",
  offering: "solo",
  parameters: { nodes: 2 },
  done: "running",
  undone: "owned",
  input: { tier: "node", volume: "data", size: "2 GiB" },
});
