import { restore } from "#processes/restore.ts";
import { sagaSuite } from "../support/saga-suite.ts";

sagaSuite(restore, {
  before: "running",
  first: [["delete", { undoHours: 1, graceSeconds: 0 }]],
  done: "running",
  undone: "stopped",
  again: [["delete", { undoHours: 1, graceSeconds: 0 }]],
});
