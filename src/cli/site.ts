/** Sites: configuration of the operator. */
import type { Command } from "commander";
import { Option } from "commander";
import { ask } from "#sdk/client.ts";
import { jsonValue, withSession } from "#cli/command.ts";
import { CliError, exitCodes } from "#cli/exit.ts";
import { table } from "#cli/text.ts";

export function registerSite(program: Command): void {
  const site = program.command("site").description("places");
  site
    .command("ls")
    .description("list sites")
    .action(
      withSession(async (session) => {
        const { items } = await ask(session.client.GET("/v1/sites"));
        session.show(items, () =>
          table(items, [
            { title: "NAME", of: ({ name }) => name },
            { title: "KIND", of: ({ kind }) => kind },
            { title: "FABRIC", of: ({ fabric }) => fabric.kind },
            { title: "LOCATION", of: ({ location }) => location },
          ]),
        );
      }),
    )
    .addHelpText("after", "\nExample:\n  strat site ls --json");
  site
    .command("add <name>")
    .alias("set")
    .description("add or change a site")
    .option("--fabric <kind>", "linux or sim; none for a place where machines are only observed", "none")
    .addOption(new Option("--kind <kind>", "whose it is").choices(["own", "partner", "public"]).default("own"))
    .option("--location <text>", "where it is", "here")
    .option("--socket <path>", "socket of its agent; short for --config '{\"socket\": ...}'")
    .option("--config <json>", "configuration of the fabric", jsonValue)
    .action(
      withSession(
        async (
          session,
          name: string,
          options: { fabric: string; kind: "own" | "partner" | "public"; location: string; socket?: string; config?: unknown },
        ) => {
          const { kind, location, fabric } = options;
          const config = fabric === "none" ? (options.config ?? {}) : configOf(options);
          const body = { kind, location, fabric: { kind: fabric, config } };
          const shown = await ask(session.client.PUT("/v1/sites/{site}", { params: { path: { site: name } }, body }));
          session.show(shown, () => `${shown.name}: generation ${shown.generation}`);
        },
      ),
    )
    .addHelpText("after", addExample);
  site
    .command("rm <name>")
    .description("forget a site; refused while endpoints or vApps are there")
    .action(
      withSession(async (session, name: string) => {
        await ask(session.client.DELETE("/v1/sites/{site}", { params: { path: { site: name } } }));
        session.show({ name }, () => `${name}: forgotten`);
      }),
    )
    .addHelpText("after", "\nExample:\n  strat site rm berlin");
}

const addExample = `
Examples:
  strat site add berlin --fabric linux --socket /run/stratiform/agent.sock --location "Berlin, rack 4"
  strat site add friends --kind partner --fabric none          machines there are only observed`;

/** `--config`, with `--socket` added to it. */
function configOf({ socket, config }: { socket?: string; config?: unknown }): unknown {
  if (socket === undefined) {
    if (config === undefined) throw new CliError(exitCodes.usage, "give --socket or --config");
    return config;
  }
  return { ...(typeof config === "object" ? config : {}), socket };
}
