/** Machines at the endpoints that are not ours. */
import type { Command } from "commander";
import { ask, type Schemas } from "#sdk/client.ts";
import { allPages, wholeNumber, withSession } from "#cli/command.ts";
import { state } from "#cli/session.ts";
import { age, duration, size, table } from "#cli/text.ts";

type InventoryMachine = Schemas["InventoryMachine"];

interface InventoryOptions {
  readonly endpoint?: string;
  readonly gone?: boolean;
  readonly limit: number;
}

export function registerInventory(program: Command): void {
  program
    .command("inventory")
    .description("list machines at the endpoints that are not ours, as last seen, with who seems to own them and how old they are")
    .option("--endpoint <name>", "only of this endpoint")
    .option("--gone", "also those that are not there any more")
    .option("--limit <n>", "how many", wholeNumber, 1_000)
    .action(
      withSession(async (session, { endpoint, gone, limit }: InventoryOptions) => {
        const items = await allPages(limit, (after, size) =>
          ask(
            session.client.GET("/v1/inventory", {
              params: {
                query: {
                  limit: size,
                  gone: gone === true ? "true" : "false",
                  ...(endpoint === undefined ? {} : { endpoint }),
                  ...(after === undefined ? {} : { after }),
                },
              },
            }),
          ),
        );
        session.show(items, () => (items.length === 0 ? "nothing of others was seen" : inventoryText(items, Date.now())));
      }),
    )
    .addHelpText("after", "\nExamples:\n  strat inventory --endpoint theirs\n  strat inventory --gone --json");
}

function inventoryText(machines: readonly InventoryMachine[], now: number): string {
  return table(machines, [
    { title: "ENDPOINT", of: ({ endpoint }) => endpoint },
    { title: "NAME", of: ({ name }) => name },
    { title: "KIND", of: ({ kind }) => kind },
    { title: "POWER", of: ({ power, goneAt }) => (goneAt === null ? state(power) : `gone ${age(goneAt, now)}`) },
    { title: "SIZE", of: ({ vcpus, memoryMiB }) => `${vcpus} vCPU, ${size(memoryMiB)}` },
    { title: "NICS", of: ({ nics }) => nics.map(({ attachment, mac }) => `${attachment} ${mac}`).join(", ") },
    { title: "AGE", of: (machine) => ageText(machine, now) },
    { title: "OWNER", of: ({ owner }) => (owner === null ? "unknown" : `${owner.who} (by ${owner.source})`) },
    { title: "SEEN", of: ({ lastSeen }) => age(lastSeen, now) },
    { title: "DESCRIPTION", of: ({ description }) => description?.replaceAll(/\s+/g, " ") ?? "" },
  ]);
}

function ageText({ age: { since, source, isAtLeast } }: InventoryMachine, now: number): string {
  return `${isAtLeast ? "at least " : ""}${duration(now - Date.parse(since))} (by ${source})`;
}
