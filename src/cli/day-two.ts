/** Everyday changes of a vApp, each a plan that is shown, ordered and followed: size, count, snapshots, restart, delete and restore. */
import type { Command } from "commander";
import { ask, type Schemas } from "#sdk/client.ts";
import { collectPair, wholeNumber, withSession } from "#cli/command.ts";
import { registerLogs } from "#cli/logs.ts";
import { addOrderOptions, orderChange, type OrderOptions } from "#cli/order.ts";
import { state } from "#cli/session.ts";
import { age, table } from "#cli/text.ts";

type Input = Record<string, unknown>;

export function registerDayTwo(vapp: Command): void {
  change(vapp, "start <vapp>", "start its machines", (name) => ({ action: "start", vapp: name }));
  change(vapp, "stop <vapp>", "stop its machines; they keep their place and disks", (name) => ({ action: "stop", vapp: name }));
  change(vapp, "restart <vapp> [machines...]", "stop and start it, or some of its machines, in sequence", (name, machines) =>
    ordered("restart", name, (machines as string[]).length === 0 ? {} : { machines }),
  );
  change(vapp, "repair <vapp>", "bring back what is missing or broken", (name) => ({ action: "repair", vapp: name }));
  change(vapp, "scale <vapp> <tier=count>", "more or fewer machines of a tier, for example web=5", (name, pair) => {
    const [tier, count] = pairOf(pair as string);
    return ordered("scale", name, { tier, count: wholeNumber(count) });
  });
  change(vapp, "resize <vapp> <tier=size>", "another size for the machines of a tier, for example web=small", (name, pair) => {
    const [tier, size] = pairOf(pair as string);
    return ordered("resize", name, { tier, size });
  });
  change(vapp, "grow <vapp> <tier> <volume> <size>", 'a larger data volume, for example db data "4 GiB"', (name, tier, volume, size) =>
    ordered("volume-grow", name, { tier, volume, size }),
  );
  change(vapp, "set <vapp> <name=value...>", "other values for parameters of the offering", (name, pairs) => {
    const parameters = (pairs as string[]).reduce<Record<string, string>>((before, pair) => collectPair(pair, before), {});
    return ordered("reconfigure", name, {
      parameters: Object.fromEntries(Object.entries(parameters).map(([key, text]) => [key, scalar(text)])),
    });
  });
  registerDelete(vapp);
  change(vapp, "restore <vapp>", "bring a deleted one back, with the same disks and addresses", (name) => ({
    action: "restore",
    vapp: name,
  }));
  registerSnapshot(vapp.command("snapshot").description("kept states of all disks, consistent across the machines"));
  registerLogs(vapp);
}

interface Change {
  readonly action: string;
  readonly vapp: string;
  readonly input?: Input;
}

function ordered(action: string, vapp: string, input: Input): Change {
  return { action, vapp, input };
}

/** A command whose arguments make one order. */
function change(parent: Command, usage: string, summary: string, requestOf: (vapp: string, ...rest: unknown[]) => Change): void {
  addOrderOptions(parent.command(usage).description(summary)).action(
    withSession(async (session, name: string, ...rest: unknown[]) => {
      const options = rest.pop() as OrderOptions;
      await orderChange(session, asRequest(requestOf(name, ...rest)), options);
    }),
  );
}

function asRequest({ input = {}, ...rest }: Change) {
  return { ...rest, input } as Parameters<typeof orderChange>[1];
}

function pairOf(text: string): [string, string] {
  const [entry] = Object.entries(collectPair(text));
  return entry!;
}

/** `5` is a number, `true` a boolean, everything else text. */
function scalar(text: string): string | number | boolean {
  if (text === "true" || text === "false") return text === "true";
  return /^-?\d{1,15}(\.\d{1,10})?$/.test(text) ? Number(text) : text;
}

function registerDelete(vapp: Command): void {
  addOrderOptions(
    vapp
      .command("delete <vapp>")
      .description("stop it and keep it until it is purged; restore brings it back until then")
      .option("--undo-hours <hours>", "how long it can be restored", wholeNumber, 24)
      .option("--now", "remove it with everything it is made of, for good"),
  ).action(
    withSession(async (session, name: string, options: OrderOptions & { now?: boolean; undoHours: number }) => {
      const request = options.now === true ? ordered("purge", name, {}) : ordered("delete", name, { undoHours: options.undoHours });
      await orderChange(session, asRequest(request), options);
    }),
  );
}

function registerSnapshot(snapshot: Command): void {
  change(snapshot, "create <vapp> <name>", "keep the state of all disks now", (vapp, name) => ordered("snapshot", vapp, { name }));
  change(snapshot, "revert <vapp> <name>", "bring all disks back to it; what was written since is lost", (vapp, name) =>
    ordered("revert", vapp, { snapshot: name }),
  );
  change(snapshot, "rm <vapp> <name>", "forget it; the vApp stays as it is", (vapp, name) =>
    ordered("snapshot-delete", vapp, { snapshot: name }),
  );
  snapshot
    .command("ls <vapp>")
    .description("list them, oldest first")
    .action(
      withSession(async (session, name: string) => {
        const { snapshots } = await ask(session.client.GET("/v1/vapps/{vapp}", { params: { path: { vapp: name } } }));
        session.show(snapshots, () => (snapshots.length === 0 ? "no snapshots" : snapshotsText(snapshots)));
      }),
    );
}

function snapshotsText(snapshots: Schemas["Snapshot"][]): string {
  const now = Date.now();
  return table(snapshots, [
    { title: "NAME", of: ({ name }) => name },
    { title: "STATE", of: (snapshot) => state(snapshot.state) },
    { title: "TAKEN", of: ({ takenAt }) => age(takenAt, now) },
    { title: "MACHINES", of: ({ machines }) => machines.join(", ") },
  ]);
}
