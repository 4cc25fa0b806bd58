/** `strat image build`: an agent builds the image from its recipe, and the catalogue learns where its variants lie. */
import { existsSync } from "node:fs";
import { resolve } from "node:path";
import type { Command } from "commander";
import { ownFile } from "#lib/own-file.ts";
import { ask, type Schemas } from "#sdk/client.ts";
import { withSession } from "#cli/command.ts";
import { CliError, exitCodes } from "#cli/exit.ts";
import { bytes, plural } from "#cli/text.ts";
import { agentStream } from "#cli/local/agent-stream.ts";

const buildLimitMs = 30 * 60_000;

/** What the agent answers; the rest of it is for the agent's own cache. */
interface BuiltImage {
  /** Name of the recipe, which is the image's. */
  readonly recipe: string;
  readonly recipeHash: string;
  readonly variants: readonly {
    readonly format: "qcow2" | "lxd";
    readonly digest: string;
    readonly sizeBytes: number;
    readonly path: string;
  }[];
}

export function registerImageBuild(program: Command): void {
  const image = program.commands.find((command) => command.name() === "image");
  if (image === undefined) throw new Error("image commands are registered first");
  image
    .command("build <name>")
    .description("build an image from its recipe at an agent of this machine, and put it into the catalogue")
    .requiredOption("--agent <socket>", "socket of the agent")
    .option("--recipe <folder>", "folder of the recipe; default: images/<name> of this installation")
    .option("--cache <folder>", "where built images are kept; default: the agent's home")
    .action(
      withSession(async (session, name: string, options: { agent: string; recipe?: string; cache?: string }) => {
        const recipe = recipeFolder(name, options.recipe);
        const body = { recipe, ...(options.cache === undefined ? {} : { cacheDir: resolve(options.cache) }) };
        const onPhase = (phase: string) => session.say(`${name}: ${phase}`);
        const call = { socket: options.agent, method: "POST", path: "/v1/images/build", body, timeoutMs: buildLimitMs, onPhase } as const;
        const { image: built } = await agentStream<{ image: BuiltImage }>(call);
        const write: Schemas["ImagePut"] = {
          recipeHash: built.recipeHash,
          variants: built.variants.map(({ format, digest, sizeBytes, path }) => ({ format, digest, sizeBytes, path })),
        };
        const shown = await ask(session.client.PUT("/v1/images/{image}", { params: { path: { image: built.recipe } }, body: write }));
        session.show(
          shown,
          () =>
            `${shown.name}: ${plural(shown.variants.length, "variant")}, ${bytes(shown.variants.reduce((sum, one) => sum + one.sizeBytes, 0))}`,
        );
      }),
    );
}

function recipeFolder(name: string, given: string | undefined): string {
  const folder = given === undefined ? ownFile(`images/${name}`) : resolve(given);
  if (existsSync(folder)) return folder;
  throw new CliError(exitCodes.notFound, `there is no recipe ${given ?? name}; name its folder with --recipe`);
}
