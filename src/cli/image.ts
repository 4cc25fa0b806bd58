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
    );
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
    );
  image
    .command("rm <name>")
    .description("take an image out of the catalogue")
    .action(
      withSession(async (session, name: string) => {
        await ask(session.client.DELETE("/v1/images/{image}", { params: { path: { image: name } } }));
        session.show({ name }, () => `${name}: gone from the catalogue`);
      }),
    );
}

function imagesText(images: readonly Schemas["Image"][]): string {
  return table(images, [
    { title: "NAME", of: ({ name }) => name },
    { title: "VARIANTS", of: ({ variants }) => variants.map(({ format, sizeBytes }) => `${format} ${bytes(sizeBytes)}`).join(", ") },
    { title: "RECIPE", of: ({ recipeHash }) => recipeHash.slice(0, 16) },
  ]);
}
