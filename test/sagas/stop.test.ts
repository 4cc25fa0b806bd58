import { stop } from "#processes/stop.ts";
import { sagaSuite } from "../support/saga-suite.ts";

sagaSuite(stop, { before: "running", done: "stopped", undone: "running", input: { graceSeconds: 0 }, again: [["start", {}]] });
