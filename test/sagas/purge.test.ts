import { purge } from "#processes/purge.ts";
import { sagaSuite } from "../support/saga-suite.ts";

sagaSuite(purge, { before: "running", done: "gone", undone: "owned" });
