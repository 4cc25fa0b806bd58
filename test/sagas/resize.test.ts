import { resize } from "#processes/resize.ts";
import { sagaSuite } from "../support/saga-suite.ts";

sagaSuite(resize, { before: "running", done: "running", undone: "running", input: { tier: "node", size: "tiny" } });
