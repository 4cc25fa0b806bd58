import { deleteVapp } from "#processes/delete.ts";
import { sagaSuite } from "../support/saga-suite.ts";

sagaSuite(deleteVapp, { before: "running", done: "gone", undone: "owned" });
