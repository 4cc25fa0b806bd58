import { snapshotDelete } from "#processes/snapshot-delete.ts";
import { sagaSuite } from "../support/saga-suite.ts";

sagaSuite(snapshotDelete, {
  before: "running",
  first: [["snapshot", { name: "kept" }]],
  done: "running",
  undone: "owned",
  input: { snapshot: "kept" },
  again: [["snapshot", { name: "kept" }]],
});
