import { snapshot } from "#processes/snapshot.ts";
import { sagaSuite } from "../support/saga-suite.ts";

sagaSuite(snapshot, {
  before: "running",
  done: "running",
  undone: "running",
  input: { name: "first" },
  again: [["snapshot-delete", { snapshot: "first" }]],
});
