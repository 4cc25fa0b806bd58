/**
 * Providers that break one promise each, and the conformance checks that must turn red on them. A check that no sabotage turns red
 * proves nothing; sabotage.test.ts fails for it.
 */
import { randomBytes } from "node:crypto";
import { PassThrough } from "node:stream";
import type { CallContext } from "#domain/context.ts";
import { isAppError } from "#domain/error.ts";
import type { Needed } from "#provider/conformance/subject.ts";
import type { MachineFacts, MachineRef, MachineSpec, Provider } from "#provider/contract.ts";
import type { SimControl } from "#providers/sim/control.ts";
import { diskSabotages } from "./provider-disk-sabotages.ts";

export interface Sabotage {
  readonly name: string;
  /** The methods that replace those of the healthy provider. `control` acts at the endpoint past every rule. */
  change(inner: Provider, control: SimControl, endpoint: string): Partial<Provider>;
  /** Names of the checks that must fail. */
  readonly red: readonly string[];
}

/** A provider that is healthy but for the changed methods. Spelled out, because the methods live on a class with private fields. */
export function sabotaged(inner: Provider, change: Partial<Provider>): Provider {
  return {
    kind: inner.kind,
    capabilities: inner.capabilities,
    describe: (ctx) => inner.describe(ctx),
    imageEnsure: (ctx, source) => inner.imageEnsure(ctx, source),
    imageList: (ctx) => inner.imageList(ctx),
    imageRemove: (ctx, image) => inner.imageRemove(ctx, image),
    machineEnsure: (ctx, spec) => inner.machineEnsure(ctx, spec),
    machineStart: (ctx, ref) => inner.machineStart(ctx, ref),
    machineStop: (ctx, ref, options) => inner.machineStop(ctx, ref, options),
    machineRemove: (ctx, ref) => inner.machineRemove(ctx, ref),
    machineObserve: (ctx, ref) => inner.machineObserve(ctx, ref),
    machineList: (ctx) => inner.machineList(ctx),
    machinePause: (ctx, ref) => inner.machinePause(ctx, ref),
    snapshotEnsure: (ctx, ref, name) => inner.snapshotEnsure(ctx, ref, name),
    snapshotRevert: (ctx, ref, name) => inner.snapshotRevert(ctx, ref, name),
    snapshotRemove: (ctx, ref, name) => inner.snapshotRemove(ctx, ref, name),
    snapshotList: (ctx, ref) => inner.snapshotList(ctx, ref),
    inventory: (ctx) => inner.inventory(ctx),
    channelRun: (ctx, ref, command) => inner.channelRun(ctx, ref, command),
    consoleOpen: (ctx, ref) => inner.consoleOpen(ctx, ref),
    watch: (ctx, onEvent, onReady) => inner.watch(ctx, onEvent, onReady),
    close: () => inner.close(),
    ...change,
  };
}

const deaf = (ctx: CallContext): CallContext => ({ ...ctx, signal: new AbortController().signal });

/** The object as its real owner sees it: how a provider without ownership rules would act on it. */
async function asItsOwner(inner: Provider, ctx: CallContext, ref: MachineRef): Promise<MachineRef> {
  const facts = (await inner.machineList(ctx)).find((found) => found.name === ref.name);
  return facts === undefined ? ref : { name: ref.name, owner: facts.owner ?? ref.owner };
}

const ensuring: readonly Sabotage[] = [
  {
    name: "machineEnsure creates under a fresh name each time",
    change: (inner) => ({
      machineEnsure: (ctx, spec) => inner.machineEnsure(ctx, { ...spec, name: `${spec.name}-${randomBytes(3).toString("hex")}` }),
    }),
    red: [
      "machineEnsure makes a stopped machine; its facts equal machineObserve",
      "machineEnsure twice leaves one machine",
      "two concurrent machineEnsure leave one machine",
      "machineEnsure after machineRemove makes it again",
      "machineEnsure syncs a changed memory of a stopped machine",
      "imageRemove is refused while a machine uses the image",
    ],
  },
  {
    name: "machineEnsure makes a second object when the first exists",
    change: (inner) => ({
      async machineEnsure(ctx, spec) {
        const there = await inner.machineObserve(ctx, spec);
        const name = there === null ? spec.name : `${spec.name}-${randomBytes(3).toString("hex")}`;
        return { ...(await inner.machineEnsure(ctx, { ...spec, name })), name: spec.name };
      },
    }),
    red: ["machineEnsure twice leaves one machine"],
  },
  {
    // Right when called twice in a row: only a check that calls it twice at once can tell.
    name: "machineEnsure looks, then creates, without a fence in between",
    change: (inner) => ({
      async machineEnsure(ctx, spec) {
        const there = (await inner.machineList(ctx)).find((facts) => facts.owner?.object === spec.owner.object);
        if (there !== undefined) return { ...there, name: spec.name };
        await ctx.clock.sleep(50);
        const made = await inner.machineEnsure(ctx, { ...spec, name: `${spec.name}-${randomBytes(3).toString("hex")}` });
        return { ...made, name: spec.name };
      },
    }),
    red: ["two concurrent machineEnsure leave one machine"],
  },
  {
    name: "machineEnsure removes and makes again",
    change: (inner) => ({
      async machineEnsure(ctx, spec) {
        await inner.machineRemove(ctx, spec);
        return inner.machineEnsure(ctx, spec);
      },
    }),
    red: [
      "machineEnsure twice leaves one machine",
      "machineStart runs it and may be repeated; machineEnsure keeps it running",
      "machineEnsure syncs a changed memory of a running machine without stopping it",
    ],
  },
  {
    name: "machineEnsure does not sync",
    change: (inner) => ({
      machineEnsure: async (ctx, spec) => (await inner.machineObserve(ctx, spec)) ?? inner.machineEnsure(ctx, spec),
    }),
    red: [
      "machineEnsure syncs a changed memory of a stopped machine",
      "machineEnsure syncs a changed memory of a running machine without stopping it",
      "a NIC lost by hand shows in the facts and comes back while the machine runs",
      "a memory changed by hand shows in the facts and is brought back",
      "a size asked for while the machine ran is there after a stop at the latest",
      "machineEnsure makes volumes, adds and grows them, and never shrinks one",
      "volumes appear and grow while the machine runs, and keep what is on them",
      "a volume grows although there are snapshots, and again after a revert",
    ],
  },
  {
    name: "machineEnsure returns what was wished for, under an empty external id",
    change: (inner) => ({ machineEnsure: async (ctx, spec) => ({ ...(await inner.machineEnsure(ctx, spec)), externalId: "" }) }),
    red: ["machineEnsure makes a stopped machine; its facts equal machineObserve", "machineEnsure after machineRemove makes it again"],
  },
  {
    name: "machineObserve invents a stopped machine when there is none",
    change: (inner) => ({
      async machineObserve(ctx, ref): Promise<MachineFacts | null> {
        const invented = { kind: "vm", power: "stopped", vcpus: 1, memoryMiB: 96, nics: [], volumes: [], externalId: "?" } as const;
        return (await inner.machineObserve(ctx, ref)) ?? { ...ref, ...invented };
      },
    }),
    red: ["machineObserve of a missing machine is null", "machineRemove leaves nothing and may be repeated, also concurrently"],
  },
];

const power: readonly Sabotage[] = [
  {
    name: "machineStart only defines and claims",
    change: (inner) => ({ machineStart: async (ctx, ref) => ({ ...(await inner.machineObserve(ctx, ref))!, power: "running" }) }),
    red: [
      "machineStart runs it and may be repeated; machineEnsure keeps it running",
      "machineStart of a missing machine is not_found",
      "machineStart brings a killed machine back",
    ],
  },
  {
    name: "machineStart leaves a crashed machine crashed",
    change: (inner) => ({
      async machineStart(ctx, ref) {
        const seen = await inner.machineObserve(ctx, ref);
        return seen?.power === "crashed" ? seen : inner.machineStart(ctx, ref);
      },
    }),
    red: ["machineStart brings a killed machine back"],
  },
  {
    name: "machineStop returns before the machine stopped",
    change: () => ({ async machineStop() {} }),
    red: ["machineStop by force stops it and may be repeated", "machineStop with grace ends with a stopped machine"],
  },
  {
    name: "machineStop fails when there is nothing to stop",
    change: (inner) => ({
      async machineStop(ctx, ref, options) {
        if ((await inner.machineObserve(ctx, ref))?.power !== "running") throw new Error("not running");
        await inner.machineStop(ctx, ref, options);
      },
    }),
    red: ["machineStop of a missing machine succeeds", "machineStop by force stops it and may be repeated"],
  },
  {
    name: "machineRemove fails when there is nothing to remove",
    change: (inner) => ({
      async machineRemove(ctx, ref) {
        if ((await inner.machineObserve(ctx, ref)) === null) throw new Error("no such machine");
        await inner.machineRemove(ctx, ref);
      },
    }),
    red: ["machineRemove leaves nothing and may be repeated, also concurrently"],
  },
  {
    name: "machineRemove only stops",
    change: (inner) => ({ machineRemove: (ctx, ref) => inner.machineStop(ctx, ref, { graceMs: 0 }) }),
    red: ["machineRemove leaves nothing and may be repeated, also concurrently", "imageRemove is refused while a machine uses the image"],
  },
];

const ownership: readonly Sabotage[] = [
  {
    name: "removes whatever bears the name",
    change: (_inner, control, endpoint) => ({ machineRemove: (_ctx, ref) => control.machineVanish(endpoint, ref.name) }),
    red: [
      "a foreign object with our name is neither changed nor removed",
      "a machine of another installation is left alone",
      "a machine of another vapp is left alone",
      "a machine of another object is left alone",
    ],
  },
  {
    name: "stops whatever bears the name",
    change: (inner) => ({ machineStop: async (ctx, ref, options) => inner.machineStop(ctx, await asItsOwner(inner, ctx, ref), options) }),
    red: [
      "a machine of another installation is left alone",
      "a machine of another vapp is left alone",
      "a machine of another object is left alone",
    ],
  },
  {
    name: "machineList shows only what is ours",
    change: (inner) => ({ machineList: async (ctx) => (await inner.machineList(ctx)).filter((facts) => facts.owner !== null) }),
    red: ["machineList shows our mark, and unmanaged objects with none"],
  },
  {
    name: "pauses whatever bears the name",
    change: (inner) => ({ machinePause: async (ctx, ref) => inner.machinePause(ctx, await asItsOwner(inner, ctx, ref)) }),
    red: ["a machine of another vapp is left alone"],
  },
  {
    name: "snapshots whatever bears the name",
    change: (inner) => ({ snapshotEnsure: async (ctx, ref, name) => inner.snapshotEnsure(ctx, await asItsOwner(inner, ctx, ref), name) }),
    red: ["a machine of another object is left alone"],
  },
  {
    name: "reverts whatever bears the name",
    change: (inner) => ({ snapshotRevert: async (ctx, ref, name) => inner.snapshotRevert(ctx, await asItsOwner(inner, ctx, ref), name) }),
    red: ["a machine of another vapp is left alone"],
  },
  {
    name: "removes snapshots of whatever bears the name",
    change: (inner) => ({ snapshotRemove: async (ctx, ref, name) => inner.snapshotRemove(ctx, await asItsOwner(inner, ctx, ref), name) }),
    red: ["a machine of another installation is left alone"],
  },
  {
    name: "lists snapshots of whatever bears the name",
    change: (inner) => ({ snapshotList: async (ctx, ref) => inner.snapshotList(ctx, await asItsOwner(inner, ctx, ref)) }),
    red: ["a machine of another installation is left alone"],
  },
];

const drift: readonly Sabotage[] = [
  {
    name: "machineEnsure syncs only what is stopped",
    change: (inner) => ({
      async machineEnsure(ctx, spec) {
        const there = await inner.machineObserve(ctx, spec);
        return there?.power === "running" ? there : inner.machineEnsure(ctx, spec);
      },
    }),
    red: [
      "a NIC lost by hand shows in the facts and comes back while the machine runs",
      "a memory changed by hand shows in the facts and is brought back",
      "volumes appear and grow while the machine runs, and keep what is on them",
    ],
  },
  {
    name: "facts say what was wished for",
    change(inner) {
      const wished = new Map<string, MachineSpec>();
      const claim = (facts: MachineFacts): MachineFacts => {
        const { nics, memoryMiB } = wished.get(facts.name) ?? facts;
        return { ...facts, memoryMiB, nics: nics.map(({ mac, attachment }) => ({ mac, attachment })) };
      };
      return {
        machineEnsure: async (ctx, spec) => (wished.set(spec.name, spec), claim(await inner.machineEnsure(ctx, spec))),
        async machineObserve(ctx, ref) {
          const facts = await inner.machineObserve(ctx, ref);
          return facts === null ? null : claim(facts);
        },
      };
    },
    red: [
      "a NIC lost by hand shows in the facts and comes back while the machine runs",
      "a memory changed by hand shows in the facts and is brought back",
    ],
  },
  {
    name: "a NIC is brought back by a restart",
    change: (inner) => ({
      async machineEnsure(ctx, spec) {
        const before = await inner.machineObserve(ctx, spec);
        if (before?.power !== "running") return inner.machineEnsure(ctx, spec);
        await inner.machineStop(ctx, spec, { graceMs: 0 });
        return inner.machineEnsure(ctx, spec);
      },
    }),
    red: ["a NIC lost by hand shows in the facts and comes back while the machine runs"],
  },
  {
    name: "a size is kept for ever once the machine ran",
    change(inner) {
      const sizes = new Map<string, Pick<MachineSpec, "vcpus" | "memoryMiB">>();
      return {
        async machineStart(ctx, ref) {
          const facts = await inner.machineStart(ctx, ref);
          sizes.set(ref.name, { vcpus: facts.vcpus, memoryMiB: facts.memoryMiB });
          return facts;
        },
        machineEnsure: (ctx, spec) => inner.machineEnsure(ctx, { ...spec, ...sizes.get(spec.name) }),
      };
    },
    red: ["a size asked for while the machine ran is there after a stop at the latest"],
  },
];

const pausing: readonly Sabotage[] = [
  {
    name: "machinePause only claims",
    change: (inner) => ({ machinePause: async (ctx, ref) => ({ ...(await inner.machineObserve(ctx, ref))!, power: "paused" }) }),
    red: [
      "machinePause halts it until machineStart, and may be repeated",
      "machinePause of a stopped machine is a conflict, of a missing one not_found",
    ],
  },
  {
    name: "machinePause starts what is stopped first",
    change: (inner) => ({
      async machinePause(ctx, ref) {
        await inner.machineStart(ctx, ref);
        return inner.machinePause(ctx, ref);
      },
    }),
    red: ["machinePause of a stopped machine is a conflict, of a missing one not_found"],
  },
  {
    name: "machineStop and machineRemove do nothing to a paused machine",
    change: (inner) => {
      const paused = async (ctx: CallContext, ref: MachineRef) => (await inner.machineObserve(ctx, ref))?.power === "paused";
      return {
        machineStop: async (ctx, ref, options) => ((await paused(ctx, ref)) ? undefined : inner.machineStop(ctx, ref, options)),
        machineRemove: async (ctx, ref) => ((await paused(ctx, ref)) ? undefined : inner.machineRemove(ctx, ref)),
      };
    },
    red: ["a paused machine can be stopped and removed"],
  },
];

const inventory: readonly Sabotage[] = [
  {
    name: "inventory shows only strangers",
    change: (inner) => ({ inventory: async (ctx) => (await inner.inventory(ctx)).filter(({ owner }) => owner === null) }),
    red: ["inventory lists everybody's machines, with what is known of their origin, and changes nothing"],
  },
  {
    name: "inventory leaves a note on what it sees",
    change: (inner, control, endpoint) => ({
      async inventory(ctx) {
        const items = await inner.inventory(ctx);
        for (const { name, memoryMiB } of items.filter(({ owner }) => owner === null)) {
          await control.machineChange(endpoint, name, { memoryMiB: memoryMiB + 1 });
        }
        return items;
      },
    }),
    red: ["inventory lists everybody's machines, with what is known of their origin, and changes nothing"],
  },
  {
    name: "inventory guesses without a source",
    change: (inner) => ({
      inventory: async (ctx) => (await inner.inventory(ctx)).map((item) => ({ ...item, ownerGuess: { who: "somebody", source: "" } })),
    }),
    red: ["inventory lists everybody's machines, with what is known of their origin, and changes nothing"],
  },
];

const images: readonly Sabotage[] = [
  {
    name: "imageEnsure imports again each time",
    change: (inner) => ({
      imageEnsure: (ctx, source) => inner.imageEnsure(ctx, { ...source, name: `${source.name}-${randomBytes(3).toString("hex")}` }),
    }),
    red: ["imageEnsure twice leaves one image", "two concurrent imageEnsure leave one image"],
  },
  {
    name: "imageRemove removes nothing and never refuses",
    change: () => ({ async imageRemove() {} }),
    red: ["imageRemove removes, and succeeds when missing", "imageRemove is refused while a machine uses the image"],
  },
];

const connection: readonly Sabotage[] = [
  {
    name: "declares a console it does not have",
    change: (inner) => ({ capabilities: { ...inner.capabilities, console: true } }),
    red: ["describe tells product, host, architecture and size"],
  },
  {
    name: "watch delivers nothing",
    change: (inner) => ({ watch: (ctx, _onEvent, onReady) => inner.watch(ctx, () => {}, onReady) }),
    red: [
      "watch delivers running, stopped, killed and removed within a second",
      "watch tells within a second that a NIC or the memory was changed by hand",
    ],
  },
  {
    name: "watch tells of power only",
    change: (inner) => ({ watch: (ctx, onEvent, onReady) => inner.watch(ctx, (event) => event.power !== null && onEvent(event), onReady) }),
    red: ["watch tells within a second that a NIC or the memory was changed by hand"],
  },
  {
    name: "calls ignore the signal",
    change: (inner) => ({
      machineEnsure: (ctx, spec) => inner.machineEnsure(deaf(ctx), spec),
      channelRun: (ctx, ref, command) => inner.channelRun(deaf(ctx), ref, command),
    }),
    red: [
      "an aborted signal ends every call before it does anything",
      "an abort ends a running call soon and leaves the connection usable",
    ],
  },
  {
    name: "an unreachable endpoint looks empty",
    change: (inner) => ({
      machineObserve: (ctx, ref) =>
        inner.machineObserve(ctx, ref).catch((error) => {
          if (isAppError(error, "endpoint_unreachable")) return null;
          throw error;
        }),
    }),
    red: ["an endpoint that does not answer is endpoint_unreachable"],
  },
];

const channel: readonly Sabotage[] = [
  {
    name: "channelRun reads the guest's bytes as Latin-1",
    change: (inner) => ({
      async channelRun(ctx, ref, command) {
        const result = await inner.channelRun(ctx, ref, command);
        return { ...result, stdout: Buffer.from(result.stdout).toString("latin1") };
      },
    }),
    red: ["channelRun returns exit code, stdout and stderr", "channelRun passes standard input through unchanged"],
  },
  {
    name: "channelRun reports every failure as a result",
    change: (inner) => ({
      channelRun: (ctx, ref, command) =>
        inner.channelRun(ctx, ref, command).catch(() => ({ exitCode: 124, stdout: "", stderr: "", truncated: false })),
    }),
    red: ["channelRun ends at its time limit", "channelRun is endpoint_busy while the machine is stopped, not_found when it is missing"],
  },
];

export const sabotages: readonly Sabotage[] = [
  ...ensuring,
  ...power,
  ...drift,
  ...diskSabotages,
  ...pausing,
  ...ownership,
  ...inventory,
  ...images,
  ...connection,
  ...channel,
];

/** Providers that half do what they lack. The checks are the `lacks:` ones of their capabilities. */
export const lackSabotages: readonly (Sabotage & { readonly lacks: Needed | "vm" })[] = [
  { lacks: "console", name: "consoleOpen gives a dead stream", change: () => ({ consoleOpen: async () => new PassThrough() }), red: [] },
  { lacks: "channel", name: "channelRun works although undeclared", change: () => ({}), red: [] },
  { lacks: "events", name: "watch ends at once without a word", change: () => ({ async watch() {} }), red: [] },
  { lacks: "vm", name: "machineEnsure makes a kind it does not have", change: () => ({}), red: [] },
  { lacks: "liveResize", name: "machineEnsure resizes although undeclared", change: () => ({}), red: [] },
  { lacks: "pause", name: "machinePause works although undeclared", change: () => ({}), red: [] },
  { lacks: "snapshots", name: "snapshots work although undeclared", change: () => ({}), red: [] },
  { lacks: "volumes", name: "volumes are made although undeclared", change: () => ({}), red: [] },
];
