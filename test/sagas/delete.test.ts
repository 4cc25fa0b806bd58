import { deleteVapp } from "#processes/delete.ts";
import { sagaSuite } from "../support/saga-suite.ts";

sagaSuite(deleteVapp, {
  before: "running",
  done: "stopped",
  undone: "running",
  input: { undoHours: 1, graceSeconds: 0 },
  again: [["restore", {}]],
});
