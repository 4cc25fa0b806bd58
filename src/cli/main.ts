/**
 * `strat`: the command line. A client of the API like any other, except for the commands of `cli/local/`, which start or use something
 * on this machine. Results go to stdout, everything else to stderr; `--json` makes results machine-readable everywhere.
 */
import { readFileSync } from "node:fs";
import { Command } from "commander";
import { registerEndpoint } from "#cli/endpoint.ts";
import { registerEvidence } from "#cli/evidence.ts";
import { exitCodeHelp } from "#cli/exit.ts";
import { reportFailure } from "#cli/failure.ts";
import { registerImage } from "#cli/image.ts";
import { registerInventory } from "#cli/inventory.ts";
import { localCommands } from "#cli/local/commands.ts";
import { registerOffering } from "#cli/offering.ts";
import { registerOrder } from "#cli/order.ts";
import { registerPlan } from "#cli/plan.ts";
import { registerRun } from "#cli/run.ts";
import { registerSite } from "#cli/site.ts";
import { registerVapp } from "#cli/vapp.ts";

const examples = `
Examples:
  strat up                                    start the control plane
  strat order tiny --name hello               plan, show, carry out
  strat vapp show hello                       what is really there
  strat vapp exec hello node-0 -- uname -a    run a command in a machine
  strat vapp delete hello                     stop it; purged in a day, until then: strat vapp restore hello`;

function version(): string {
  return (JSON.parse(readFileSync(new URL("../../package.json", import.meta.url), "utf8")) as { version: string }).version;
}

function makeProgram(): Command {
  const program = new Command("strat")
    .description("Stratiform: a cloud from virtualization of any vendor")
    .version(version())
    .option("--json", "results as JSON")
    .option("--url <url>", "where the server listens; default: STRATIFORM_URL, else what the home folder says")
    .option("--token <token>", "default: STRATIFORM_TOKEN, else the admin's of the home folder")
    .configureHelp({ showGlobalOptions: true, sortSubcommands: false })
    .showHelpAfterError("(strat --help, or strat COMMAND --help)")
    .addHelpText("after", examples + "\n" + exitCodeHelp)
    .exitOverride();
  for (const register of [
    registerPlan,
    registerOrder,
    registerVapp,
    registerRun,
    registerOffering,
    registerImage,
    registerSite,
    registerEndpoint,
    registerInventory,
    registerEvidence,
  ]) {
    register(program);
  }
  for (const register of localCommands) register(program);
  return program;
}

const program = makeProgram();
try {
  await program.parseAsync();
} catch (error) {
  process.exitCode = reportFailure(error, program.opts<{ json?: boolean }>().json === true || process.argv.includes("--json"));
}
