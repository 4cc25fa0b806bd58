/** Endpoints: managers of machines that we use or only look at. Certificates and keys are read from files and sent; the server seals keys. */
import type { Command } from "commander";
import { addressOf } from "#domain/endpoint.ts";
import { ask, type Schemas } from "#sdk/client.ts";
import { jsonValue, readText, withSession } from "#cli/command.ts";
import { CliError, exitCodes } from "#cli/exit.ts";
import { faint, state, type Session } from "#cli/session.ts";
import { age, size, table } from "#cli/text.ts";

type Endpoint = Schemas["Endpoint"];
type Check = Schemas["EndpointCheck"];

interface AddOptions {
  readonly site: string;
  readonly provider: string;
  readonly uri?: string;
  readonly socket?: string;
  readonly ca?: string;
  readonly cert?: string;
  readonly key?: string;
  readonly pool?: string;
  readonly observe?: boolean;
  readonly config?: unknown;
  /** False with `--no-check`. */
  readonly check: boolean;
}

const examples = `
Examples:
  strat endpoint add rack1 --site berlin --provider libvirt --uri qemu+unix:///run/libvirt/libvirt-sock --pool stratiform=/var/lib/stratiform/pool
  strat endpoint add rack2 --site berlin --provider libvirt --uri qemu+tls://rack2/system --ca ca.pem --cert client.pem --key client.key \\
      --pool stratiform=/var/lib/stratiform/pool
  strat endpoint add theirs --site friends --provider libvirt --uri qemu+unix:///run/libvirt/libvirt-sock-ro --observe
  strat endpoint add boxes --site berlin --provider lxd --uri https://boxes:8443 --ca server.crt --cert client.crt --key client.key --pool default`;

export function registerEndpoint(program: Command): void {
  const endpoint = program.command("endpoint").description("managers of machines: a libvirtd, an LXD");
  endpoint
    .command("ls")
    .description("list endpoints with what was last seen there")
    .action(
      withSession(async (session) => {
        const { items } = await ask(session.client.GET("/v1/endpoints"));
        session.show(items, () =>
          items.length === 0 ? "no endpoints; add one: strat endpoint add --help" : endpointsText(items, Date.now()),
        );
      }),
    )
    .addHelpText("after", "\nExample:\n  strat endpoint ls --json");
  endpoint
    .command("add <name>")
    .alias("set")
    .description("check an endpoint and, when that is passed, add or change it")
    .requiredOption("--site <site>", "where it is")
    .requiredOption("--provider <kind>", "libvirt, lxd or sim")
    .option("--uri <uri>", "qemu+unix:///PATH, qemu+tls://HOST/system, https://HOST:8443, or the path of a socket")
    .option("--socket <path>", "socket of the endpoint; short for --uri PATH")
    .option("--ca <file>", "PEM certificate of the authority, or of the server itself")
    .option("--cert <file>", "PEM certificate we show")
    .option("--key <file>", "PEM key of --cert; kept sealed and never shown again")
    .option("--pool <pool>", "where disks go: NAME=PATH for libvirt, NAME for lxd")
    .option("--observe", "only look: nothing there is ever touched, nothing is placed there")
    .option("--config <json>", "configuration of the provider; the options above are added to it", jsonValue)
    .option("--no-check", "add it although a check might be refused")
    .action(withSession(add))
    .addHelpText("after", examples);
  endpoint
    .command("check <name>")
    .description("check an endpoint now, step by step; ends with 1 when a step is refused")
    .action(
      withSession(async (session, name: string) => {
        const shown = await ask(session.client.POST("/v1/endpoints/{endpoint}/check", { params: { path: { endpoint: name } } }));
        session.show(shown, () => checkText(shown));
        if (!shown.ok) process.exitCode = exitCodes.failed;
      }),
    )
    .addHelpText("after", "\nExample:\n  strat endpoint check rack1");
  endpoint
    .command("rm <name>")
    .description("forget an endpoint and touch nothing there; refused while it holds machines of ours")
    .action(
      withSession(async (session, name: string) => {
        await ask(session.client.DELETE("/v1/endpoints/{endpoint}", { params: { path: { endpoint: name } } }));
        session.show({ name }, () => `${name}: forgotten`);
      }),
    )
    .addHelpText("after", "\nExample:\n  strat endpoint rm rack1");
}

async function add(session: Session, name: string, options: AddOptions): Promise<void> {
  const { site, provider } = options;
  const mode: Endpoint["mode"] = options.observe === true ? "observe" : "manage";
  const body = { site, provider, mode, config: configOf(options) };
  if (options.check) {
    const check = await ask(session.client.POST("/v1/endpoint-checks", { body: { ...body, name } }));
    if (!check.ok) {
      session.show(check, () => checkText(check));
      throw new CliError(exitCodes.failed, `${name} was not added: a step of its check was refused (--no-check adds it all the same)`);
    }
    session.say(checkText(check));
  }
  const shown = await ask(session.client.PUT("/v1/endpoints/{endpoint}", { params: { path: { endpoint: name } }, body }));
  session.show(shown, () => endpointsText([shown], Date.now()));
}

/** What providers take: where to, with what, and into which pool. */
function configOf({ provider, uri, socket, ca, cert, key, pool, config }: AddOptions): unknown {
  const where = socket ?? uri;
  if (where === undefined && config === undefined) throw new CliError(exitCodes.usage, "give --uri, --socket or --config");
  const pem = { ...(ca && { ca: readText(ca) }), ...(cert && { cert: readText(cert) }), ...(key && { key: readText(key) }) };
  return {
    ...(typeof config === "object" ? config : {}),
    ...(where === undefined ? {} : placeOf(provider, where)),
    ...pem,
    ...(pool === undefined ? {} : { pool: provider === "libvirt" ? folderPool(pool) : pool }),
  };
}

function placeOf(provider: string, where: string): object {
  const address = addressOf(where);
  if (address.type === "unix") return { socket: address.path };
  return provider === "libvirt" ? { uri: where } : { url: where };
}

function folderPool(text: string): { name: string; path: string } {
  const at = text.indexOf("=");
  if (at < 1) throw new CliError(exitCodes.usage, `write --pool ${text} as NAME=PATH, with the path on the endpoint's host`);
  return { name: text.slice(0, at), path: text.slice(at + 1) };
}

export function checkText({ lines }: Check): string {
  const words = { ok: "ok", refused: "refused", skipped: "-" } as const;
  const rows = lines.flatMap((line) => [
    { step: line.step, outcome: words[line.outcome], text: line.outcome === "skipped" ? faint(line.says) : line.says },
    ...(line.fix === null ? [] : [{ step: "", outcome: "", text: `fix: ${line.fix}` }]),
  ]);
  return table(rows, [
    { title: "STEP", of: ({ step }) => step },
    { title: "", of: ({ outcome }) => state(outcome) },
    { title: "", of: ({ text }) => text },
  ]);
}

function endpointsText(endpoints: readonly Endpoint[], now: number): string {
  return table(endpoints, [
    { title: "NAME", of: ({ name }) => name },
    { title: "STATE", of: (endpoint) => state(endpoint.state) },
    { title: "MODE", of: ({ mode }) => mode },
    { title: "SEEN", of: ({ checkedAt }) => age(checkedAt, now) },
    { title: "SITE", of: ({ site }) => site },
    { title: "PROVIDER", of: ({ provider, product }) => (product === null ? provider : `${provider} (${product})`) },
    {
      title: "HOST",
      of: ({ host, architecture, accelerator }) =>
        [host, architecture, accelerator === "none" ? null : accelerator].filter((word) => word !== null).join(" "),
    },
    { title: "CAPACITY", of: ({ vcpus, memoryMiB }) => (vcpus === null || memoryMiB === null ? "" : `${vcpus} vCPU, ${size(memoryMiB)}`) },
    { title: "MAKES", of: ({ machineKinds, mode }) => (mode === "observe" ? "nothing" : machineKinds.join(", ")) },
    { title: "MACHINES", of: ({ machines }) => String(machines) },
  ]);
}
