/** `strat image build`: an agent builds images from their recipes, and the catalogue learns where their variants lie. */
import { existsSync } from "node:fs";
import { resolve } from "node:path";
import type { Command } from "commander";
import { ownFile } from "#lib/own-file.ts";
import { ask, type Schemas } from "#sdk/client.ts";
import { wholeNumber, withSession } from "#cli/command.ts";
import { CliError, exitCodes } from "#cli/exit.ts";
import type { Session } from "#cli/session.ts";
import { bytes, duration, plural } from "#cli/text.ts";
import { agentStream } from "#cli/local/agent-stream.ts";

const buildLimitMs = 30 * 60_000;
/** Builds share a base, a network and the CPUs; more at once only wait for each other. */
const buildsAtOnce = 4;

interface BuildOptions {
  readonly agent: string;
  readonly recipe?: string;
  readonly cache?: string;
  readonly atOnce: number;
}

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
    .command("build <names...>")
    .description("build images from their recipes at an agent of this machine, several at once, and put them into the catalogue")
    .requiredOption("--agent <socket>", "socket of the agent")
    .option("--recipe <folder>", "folder of the recipe, for one image; default: images/<name> of this installation")
    .option("--cache <folder>", "where built images are kept; default: the agent's home")
    .option("--at-once <n>", "how many are built at the same time", wholeNumber, buildsAtOnce)
    .action(withSession(buildAll))
    .addHelpText("after", examples);
}

const examples = `
Examples:
  strat image build tiny-node --agent /run/stratiform/agent.sock
  strat image build postgres-15 shop-web haproxy --agent /run/stratiform/agent.sock`;

/** Those that can be built are, whatever becomes of the others. */
async function buildAll(session: Session, given: string[], options: BuildOptions): Promise<void> {
  const names = [...new Set(given)];
  if (options.recipe !== undefined && names.length > 1) throw new CliError(exitCodes.usage, "--recipe names the folder of one image");
  const recipes = names.map((name) => ({ name, recipe: recipeFolder(name, options.recipe) }));
  const waiting = recipes.values();
  const built: Schemas["Image"][] = [];
  const failures: { name: string; error: unknown }[] = [];
  const worker = async () => {
    for (const one of waiting) {
      const startedAt = performance.now();
      try {
        built.push(await build(session, one, options));
        session.say(`${one.name}: done in ${duration(performance.now() - startedAt)} (${built.length} of ${names.length})`);
      } catch (error) {
        failures.push({ name: one.name, error });
        session.say(`${one.name}: failed: ${error instanceof Error ? error.message : String(error)}`);
      }
    }
  };
  await Promise.all(Array.from({ length: Math.max(1, Math.min(options.atOnce, names.length)) }, worker));
  // The one that was asked for alone explains itself.
  if (names.length === 1 && failures[0] !== undefined) throw failures[0].error;
  if (built.length > 0)
    session.show(names.length === 1 ? built[0] : built.toSorted(byName), () => built.toSorted(byName).map(lineOf).join("\n"));
  if (failures.length > 0) {
    const failed = failures.map(({ name }) => name).join(", ");
    throw new CliError(
      exitCodes.failed,
      `${failed} could not be built; the others are in the catalogue. Alone, a build says why: strat image build ${failures[0]!.name}`,
    );
  }
}

async function build(
  session: Session,
  { name, recipe }: { name: string; recipe: string },
  options: BuildOptions,
): Promise<Schemas["Image"]> {
  const body = { recipe, ...(options.cache === undefined ? {} : { cacheDir: resolve(options.cache) }) };
  const onPhase = (phase: string) => session.say(`${name}: ${phase}`);
  const call = { socket: options.agent, method: "POST", path: "/v1/images/build", body, timeoutMs: buildLimitMs, onPhase } as const;
  const { image: made } = await agentStream<{ image: BuiltImage }>(call);
  const write: Schemas["ImagePut"] = {
    recipeHash: made.recipeHash,
    variants: made.variants.map(({ format, digest, sizeBytes, path }) => ({ format, digest, sizeBytes, path })),
  };
  return ask(session.client.PUT("/v1/images/{image}", { params: { path: { image: made.recipe } }, body: write }));
}

function lineOf(image: Schemas["Image"]): string {
  return `${image.name}: ${plural(image.variants.length, "variant")}, ${bytes(image.variants.reduce((sum, one) => sum + one.sizeBytes, 0))}`;
}

function byName(a: Schemas["Image"], b: Schemas["Image"]): number {
  return a.name < b.name ? -1 : 1;
}

function recipeFolder(name: string, given: string | undefined): string {
  const folder = given === undefined ? ownFile(`images/${name}`) : resolve(given);
  if (existsSync(folder)) return folder;
  throw new CliError(exitCodes.notFound, `there is no recipe ${given ?? name}; name its folder with --recipe`);
}
