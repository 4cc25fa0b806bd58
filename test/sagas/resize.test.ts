import { resize } from "#processes/resize.ts";
import { sagaSuite } from "../support/saga-suite.ts";

sagaSuite(resize, {
  before: "running",
  offering: "trio",
  done: "running",
  undone: "running",
  input: { tier: "worker", size: "tiny" },
  again: [["resize", { tier: "worker", size: "nano" }]],
});
