import { start } from "#processes/start.ts";
import { sagaSuite } from "../support/saga-suite.ts";

sagaSuite(start, { before: "stopped", done: "running", undone: "stopped", again: [["stop", { graceSeconds: 0 }]] });
