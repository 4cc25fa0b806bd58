import { deploy } from "#processes/deploy.ts";
import { sagaSuite } from "../support/saga-suite.ts";

sagaSuite(deploy, { before: "nothing", done: "running", undone: "gone" });
