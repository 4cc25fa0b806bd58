import { volumeGrow } from "#processes/volume-grow.ts";
import { sagaSuite } from "../support/saga-suite.ts";

sagaSuite(volumeGrow, {
  before: "running",
  offering: "trio",
  done: "running",
  undone: "owned",
  input: { tier: "store", volume: "data", size: "2 GiB" },
});
