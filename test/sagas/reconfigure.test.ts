import { reconfigure } from "#processes/reconfigure.ts";
import { sagaSuite } from "../support/saga-suite.ts";

sagaSuite(reconfigure, {
  before: "running",
  offering: "trio",
  done: "running",
  undone: "running",
  input: { parameters: { lead: 1 } },
  again: [["reconfigure", { parameters: { lead: 0 } }]],
});
