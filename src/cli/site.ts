/** Sites and endpoints: configuration of the operator. */
import type { Command } from "commander";
import { Option } from "commander";
import { ask, type Schemas } from "#sdk/client.ts";
import { jsonValue, withSession } from "#cli/command.ts";
import { CliError, exitCodes } from "#cli/exit.ts";
import { state } from "#cli/session.ts";
import { age, size, table } from "#cli/text.ts";

type Endpoint = Schemas["Endpoint"];

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
    );
  site
    .command("set <name>")
    .description("add or change a site")
    .requiredOption("--fabric <kind>", "linux or sim")
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
          const body = { kind, location, fabric: { kind: fabric, config: configOf(options) } };
          const shown = await ask(session.client.PUT("/v1/sites/{site}", { params: { path: { site: name } }, body }));
          session.show(shown, () => `${shown.name}: generation ${shown.generation}`);
        },
      ),
    );
}

export function registerEndpoint(program: Command): void {
  const endpoint = program.command("endpoint").description("managers of machines: a libvirtd, an LXD");
  endpoint
    .command("ls")
    .description("list endpoints with what was last seen there")
    .action(
      withSession(async (session) => {
        const { items } = await ask(session.client.GET("/v1/endpoints"));
        session.show(items, () => endpointsText(items, Date.now()));
      }),
    );
  endpoint
    .command("set <name>")
    .description("add or change an endpoint, and look at it")
    .requiredOption("--site <site>", "where it is")
    .requiredOption("--provider <kind>", "libvirt, lxd or sim")
    .option("--socket <path>", "socket of the endpoint; short for --config '{\"socket\": ...}'")
    .option("--config <json>", "configuration of the provider", jsonValue)
    .action(
      withSession(async (session, name: string, options: { site: string; provider: string; socket?: string; config?: unknown }) => {
        const body = { site: options.site, provider: options.provider, config: configOf(options) };
        const shown = await ask(session.client.PUT("/v1/endpoints/{endpoint}", { params: { path: { endpoint: name } }, body }));
        session.show(shown, () => endpointsText([shown], Date.now()));
      }),
    );
  endpoint
    .command("check <name>")
    .description("look at an endpoint now; ends with 1 when it does not answer")
    .action(
      withSession(async (session, name: string) => {
        const shown = await ask(session.client.POST("/v1/endpoints/{endpoint}/check", { params: { path: { endpoint: name } } }));
        session.show(shown, () => endpointsText([shown], Date.now()));
        if (shown.state !== "ready") process.exitCode = exitCodes.failed;
      }),
    );
}

/** `--config`, with `--socket` added to it. */
function configOf({ socket, config }: { socket?: string; config?: unknown }): unknown {
  if (socket === undefined) {
    if (config === undefined) throw new CliError(exitCodes.usage, "give --socket or --config");
    return config;
  }
  return { ...(typeof config === "object" ? config : {}), socket };
}

function endpointsText(endpoints: readonly Endpoint[], now: number): string {
  return table(endpoints, [
    { title: "NAME", of: ({ name }) => name },
    { title: "STATE", of: (endpoint) => state(endpoint.state) },
    { title: "SEEN", of: ({ checkedAt }) => age(checkedAt, now) },
    { title: "SITE", of: ({ site }) => site },
    { title: "PROVIDER", of: ({ provider, product }) => (product === null ? provider : `${provider} (${product})`) },
    {
      title: "HOST",
      of: ({ host, architecture, accelerator }) =>
        [host, architecture, accelerator === "none" ? null : accelerator].filter((word) => word !== null).join(" "),
    },
    { title: "CAPACITY", of: ({ vcpus, memoryMiB }) => (vcpus === null || memoryMiB === null ? "" : `${vcpus} vCPU, ${size(memoryMiB)}`) },
    { title: "MAKES", of: ({ machineKinds }) => machineKinds.join(", ") },
    { title: "MACHINES", of: ({ machines }) => String(machines) },
  ]);
}
