import { repair } from "#processes/repair.ts";
import { sagaSuite } from "../support/saga-suite.ts";

sagaSuite(repair, { before: "broken", done: "running", undone: "owned", again: [] });
