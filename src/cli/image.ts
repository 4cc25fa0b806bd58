/** Images of the catalogue. Building one is `cli/local/image-build.ts`. */
import type { Command } from "commander";
import { ask, type Schemas } from "#sdk/client.ts";
import { withSession } from "#cli/command.ts";
import { bytes, table } from "#cli/text.ts";

export function registerImage(program: Command): void {
  const image = program.command("image").description("bootable things");
  image
    .command("ls")
    .description("list images")
    .action(
      withSession(async (session) => {
        const { items } = await ask(session.client.GET("/v1/images"));
        session.show(items, () =>
          items.length === 0 ? "no images; build one: strat image build tiny-node --agent SOCKET" : imagesText(items),
        );
      }),
    )
    .addHelpText("after", "\nExample:\n  strat image ls --json");
  image
    .command("show <name>")
    .description("show an image with digests and files")
    .action(
      withSession(async (session, name: string) => {
        const shown = await ask(session.client.GET("/v1/images/{image}", { params: { path: { image: name } } }));
        session.show(shown, () =>
          [imagesText([shown]), ...shown.variants.map(({ format, digest, path }) => `${format}  sha256:${digest}  ${path ?? ""}`)].join(
            "\n",
          ),
        );
      }),
    )
    .addHelpText("after", "\nExample:\n  strat image show tiny-node");
  image
    .command("rm <name>")
    .description("take an image out of the catalogue and its copies from the endpoints; refused while machines use it")
    .action(
      withSession(async (session, name: string) => {
        const gone = await ask(session.client.DELETE("/v1/images/{image}", { params: { path: { image: name } } }));
        session.show(gone, () =>
          [
            `${name}: gone from the catalogue`,
            ...gone.removedFrom.map((endpoint) => `  and from ${endpoint}`),
            ...gone.keptAt.map(({ endpoint, why }) => `  its copy at ${endpoint} stays: ${why}`),
          ].join("\n"),
        );
      }),
    )
    .addHelpText("after", "\nExample:\n  strat image rm tiny-node");
}

function imagesText(images: readonly Schemas["Image"][]): string {
  return table(images, [
    { title: "NAME", of: ({ name }) => name },
    { title: "VARIANTS", of: ({ variants }) => variants.map(({ format, sizeBytes }) => `${format} ${bytes(sizeBytes)}`).join(", ") },
    { title: "CACHED AT", of: ({ cachedAt }) => cachedAt.map(({ endpoint }) => endpoint).join(", ") || "nowhere" },
    { title: "MACHINES", of: ({ machines }) => String(machines) },
    { title: "RECIPE", of: ({ recipeHash }) => recipeHash.slice(0, 16) },
  ]);
}
