import { restart } from "#processes/restart.ts";
import { sagaSuite } from "../support/saga-suite.ts";

sagaSuite(restart, { before: "running", done: "running", undone: "running", input: { graceSeconds: 0 }, again: [] });
