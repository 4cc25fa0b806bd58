import { revert } from "#processes/revert.ts";
import { sagaSuite } from "../support/saga-suite.ts";

sagaSuite(revert, {
  before: "running",
  first: [["snapshot", { name: "kept" }]],
  done: "running",
  undone: "owned",
  input: { snapshot: "kept" },
  again: [],
});
