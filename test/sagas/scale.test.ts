import { scale } from "#processes/scale.ts";
import { sagaSuite } from "../support/saga-suite.ts";

sagaSuite(scale, { before: "running", done: "running", undone: "running", input: { tier: "node", count: 3 } });
