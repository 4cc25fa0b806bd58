import { scale } from "#processes/scale.ts";
import { sagaSuite } from "../support/saga-suite.ts";

sagaSuite(scale, {
  before: "running",
  offering: "trio",
  done: "running",
  undone: "running",
  input: { tier: "worker", count: 3 },
  again: [["scale", { tier: "worker", count: 2 }]],
});
