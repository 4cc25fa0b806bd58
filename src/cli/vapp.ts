/** vApps: what is really there, and the everyday changes. */
import type { Command } from "commander";
import { ask, type Schemas } from "#sdk/client.ts";
import { allPages, readText, wholeNumber, withSession } from "#cli/command.ts";
import { registerConsole } from "#cli/console.ts";
import { registerDayTwo } from "#cli/day-two.ts";
import { showLayers } from "#cli/layers.ts";
import { faint, type Session, state, strong } from "#cli/session.ts";
import { registerSsh } from "#cli/ssh.ts";
import { age, rate, size, table } from "#cli/text.ts";

type Vapp = Schemas["Vapp"];
type Machine = Schemas["Machine"];

export function registerVapp(program: Command): void {
  const vapp = program.command("vapp").description("applications and their machines");
  registerList(vapp);
  vapp
    .command("show <vapp>")
    .description("show what is really there, with source and age")
    .option("--facts", "every observed fact of every machine")
    .option("--layers", "the seven layers: desired and observed side by side, with source and age")
    .option("--layer <layer>", "one of them, with why it is so and what breaks if it goes")
    .action(
      withSession(async (session, name: string, options: { facts?: boolean; layers?: boolean; layer?: string }) => {
        if (options.layers === true || options.layer !== undefined) return showLayers(session, name, options.layer);
        const shown = await ask(session.client.GET("/v1/vapps/{vapp}", { params: { path: { vapp: name } } }));
        session.show(shown, () => vappText(shown, Date.now()) + (options.facts === true ? `\n\n${factsText(shown, Date.now())}` : ""));
      }),
    );
  registerExec(vapp);
  registerConsole(vapp);
  registerSsh(vapp);
  registerDayTwo(vapp);
}

function registerList(vapp: Command): void {
  vapp
    .command("ls")
    .description("list vApps")
    .option("--project <project>", "only of this project")
    .option("--deleted", "also those that were deleted")
    .option("--limit <n>", "how many", wholeNumber, 500)
    .action(
      withSession(async (session, options: { project?: string; deleted?: boolean; limit: number }) => {
        const items = await allPages(options.limit, (after, limit) =>
          ask(session.client.GET("/v1/vapps", { params: { query: listQuery(options, after, limit) } })),
        );
        session.show(items, () => (items.length === 0 ? "no vApps; order one: strat order tiny" : listText(items, Date.now())));
      }),
    );
}

function listQuery(options: { project?: string; deleted?: boolean }, after: string | undefined, limit: number) {
  return {
    limit,
    ...(options.project === undefined ? {} : { project: options.project }),
    ...(options.deleted === true ? { deleted: "true" } : {}),
    ...(after === undefined ? {} : { after }),
  };
}

function registerExec(vapp: Command): void {
  vapp
    .command("exec <vapp> <machine> <command...>")
    .description("run a command in a machine; ends with its exit code. Put -- before a command with options of its own")
    .option("--stdin", "hand it this command's standard input")
    .option("--timeout <ms>", "limit in milliseconds, at most 60000", wholeNumber, 30_000)
    .action(
      withSession(
        async (session: Session, name: string, machine: string, argv: string[], options: { stdin?: boolean; timeout: number }) => {
          const stdin = options.stdin === true ? { stdin: readText("-") } : {};
          const result = await ask(
            session.client.POST("/v1/vapps/{vapp}/exec", {
              params: { path: { vapp: name } },
              body: { machine, argv, timeoutMs: options.timeout, ...stdin },
            }),
          );
          if (session.json) session.show(result, () => "");
          else {
            process.stdout.write(result.stdout);
            process.stderr.write(result.stderr);
            if (result.truncated) session.say("strat: the output was longer and is cut off here");
          }
          process.exitCode = result.exitCode;
        },
      ),
    );
}

function listText(vapps: readonly Schemas["VappSummary"][], now: number): string {
  return table(vapps, [
    { title: "NAME", of: ({ name }) => name },
    { title: "STATE", of: (vapp) => `${state(vapp.state)}${vapp.deleteAt === null ? "" : ", deleted"}` },
    { title: "OFFERING", of: ({ offering }) => offering },
    { title: "SITE", of: ({ site }) => site },
    { title: "PROJECT", of: ({ project }) => project },
    { title: "COST/HOUR", of: ({ costPerHour, currency }) => `${rate(costPerHour)} ${currency}` },
    { title: "SINCE", of: ({ createdAt }) => age(createdAt, now) },
  ]);
}

export function vappText(vapp: Vapp, now: number): string {
  const facts = [`offering ${vapp.offering}`, `site ${vapp.site}`, `project ${vapp.project}`, `made ${age(vapp.createdAt, now)}`];
  const lines = [
    `${strong(vapp.name)}  ${state(vapp.state)}${vapp.desired === "running" ? "" : ` (wanted: ${vapp.desired})`}  ${faint(vapp.id)}`,
    facts.join(", "),
    `cost ${rate(vapp.costPerHour)} ${vapp.currency} an hour`,
    ...(vapp.deleteAt === null ? [] : [`deleted; purged at ${vapp.deleteAt}. Bring it back: strat vapp restore ${vapp.name}`]),
    ...(vapp.snapshots.length === 0 ? [] : [`snapshots ${vapp.snapshots.map(({ name }) => name).join(", ")}`]),
    ...(vapp.run === null ? [] : [`changing now: strat run show ${vapp.run} --wait`]),
    ...vapp.exposures.map(
      (exposure) =>
        `${strong(exposure.url ?? "no address yet")}  to ${exposure.machine}:${exposure.targetPort} ${faint(`(${exposure.state})`)}`,
    ),
  ];
  return [lines.join("\n"), ...(vapp.machines.length === 0 ? [] : [machinesText(vapp.machines, now)])].join("\n\n");
}

function machinesText(machines: readonly Machine[], now: number): string {
  return table(machines, [
    { title: "MACHINE", of: ({ name }) => name },
    { title: "KIND", of: ({ kind }) => kind },
    { title: "STATE", of: (machine) => state(machine.state) },
    { title: "SEEN BY", of: (machine) => seen(machine, now) },
    { title: "HEALTHY", of: ({ healthyAt }) => age(healthyAt, now) },
    { title: "ENDPOINT", of: ({ endpoint, provider }) => `${endpoint} (${provider})` },
    { title: "SIZE", of: ({ vcpus, memoryMiB }) => `${vcpus} x ${size(memoryMiB)}` },
    { title: "ADDRESSES", of: ({ addresses }) => addresses.map(({ segment, address }) => `${segment} ${address}`).join(", ") },
    { title: "WHY THERE", of: ({ reason }) => reason },
  ]);
}

/** Who saw the power state, and when; before anybody did, since when it has been planned. */
function seen(machine: Machine, now: number): string {
  const power = machine.facts.filter(({ name }) => name === "power").toSorted((a, b) => (a.observedAt < b.observedAt ? 1 : -1))[0];
  return power === undefined ? faint(age(machine.stateAt, now)) : `${power.source} ${age(power.observedAt, now)}`;
}

function factsText(vapp: Vapp, now: number): string {
  const rows = vapp.machines.flatMap((machine) => machine.facts.map((fact) => ({ machine: machine.name, ...fact })));
  return table(rows, [
    { title: "MACHINE", of: ({ machine }) => machine },
    { title: "LAYER", of: ({ layer }) => layer },
    { title: "FACT", of: ({ name }) => name },
    { title: "VALUE", of: ({ value }) => (typeof value === "string" ? value : JSON.stringify(value)) },
    { title: "SEEN BY", of: ({ source, observedAt }) => `${source} ${age(observedAt, now)}` },
  ]);
}
