/** The catalogue. */
import type { Command } from "commander";
import { parse, YAMLParseError } from "yaml";
import { ask, type Schemas } from "#sdk/client.ts";
import { readText, withSession } from "#cli/command.ts";
import { CliError, exitCodes } from "#cli/exit.ts";
import { faint, strong } from "#cli/session.ts";
import { table } from "#cli/text.ts";

type Offering = Schemas["Offering"];
interface Parameter {
  readonly type: string;
  readonly default?: unknown;
  readonly description?: string;
}

export function registerOffering(program: Command): void {
  const offering = program.command("offering").description("what can be ordered");
  offering
    .command("ls")
    .description("list offerings")
    .action(
      withSession(async (session) => {
        const { items } = await ask(session.client.GET("/v1/offerings"));
        session.show(items, () =>
          table(items, [
            { title: "NAME", of: ({ name }) => name },
            { title: "VERSION", of: ({ version }) => version },
            { title: "SUMMARY", of: ({ summary }) => summary },
          ]),
        );
      }),
    );
  offering
    .command("show <name>")
    .description("show an offering with its parameters; name or name@version")
    .action(
      withSession(async (session, name: string) => {
        const shown = await ask(session.client.GET("/v1/offerings/{offering}", { params: { path: { offering: name } } }));
        session.show(shown, () => offeringText(shown));
      }),
    );
  offering
    .command("publish <file>")
    .description("publish a version from a YAML or JSON file; - reads standard input")
    .action(
      withSession(async (session, file: string) => {
        const document = readDocument(file);
        const shown = await ask(session.client.POST("/v1/offerings", { body: document }));
        session.show(shown, () => `${shown.name}@${shown.version}: published\n${faint(`order it:  strat order ${shown.name}`)}`);
      }),
    );
}

function readDocument(file: string): Schemas["OfferingDocument"] {
  try {
    return parse(readText(file)) as Schemas["OfferingDocument"];
  } catch (error) {
    if (!(error instanceof YAMLParseError)) throw error;
    throw new CliError(exitCodes.usage, `${file} is not YAML: ${error.message.trimEnd()}`);
  }
}

function offeringText(offering: Offering): string {
  const parameters = Object.entries((offering.parameters ?? {}) as Record<string, Parameter>);
  const rows = table(parameters, [
    { title: "PARAMETER", of: ([name]) => name },
    { title: "TYPE", of: ([, { type }]) => type },
    { title: "DEFAULT", of: ([, parameter]) => (parameter.default === undefined ? "none" : JSON.stringify(parameter.default)) },
    { title: "MEANING", of: ([, { description }]) => description ?? "" },
  ]);
  const head = `${strong(`${offering.name}@${offering.version}`)}  ${offering.summary}\n${faint(`sha256:${offering.digest}`)}`;
  return parameters.length === 0 ? head : `${head}\n\n${rows}`;
}
