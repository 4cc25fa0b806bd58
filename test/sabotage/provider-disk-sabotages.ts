/** Providers that are careless with volumes and snapshots. */
import { randomBytes } from "node:crypto";
import type { MachineFacts, SnapshotFacts } from "#provider/contract.ts";
import type { Sabotage } from "./provider-sabotages.ts";

const volumes: readonly Sabotage[] = [
  {
    name: "volumes are claimed and not made",
    change: (inner) => ({
      machineEnsure: async (ctx, spec) => ({ ...(await inner.machineEnsure(ctx, { ...spec, volumes: [] })), volumes: spec.volumes }),
    }),
    red: [
      "machineEnsure makes volumes, adds and grows them, and never shrinks one",
      "two concurrent machineEnsure make one volume",
      "volumes appear and grow while the machine runs, and keep what is on them",
    ],
  },
  {
    name: "a volume shrinks to the wish, as its facts tell",
    change: (inner) => ({
      machineEnsure: async (ctx, spec) => ({ ...(await inner.machineEnsure(ctx, spec)), volumes: spec.volumes }),
    }),
    red: ["machineEnsure makes volumes, adds and grows them, and never shrinks one"],
  },
  {
    name: "a volume that grows is made anew",
    change: (inner) => ({
      async machineEnsure(ctx, spec) {
        const grows = (await inner.machineObserve(ctx, spec))?.volumes.filter(({ name, sizeMiB }) =>
          spec.volumes.some((wanted) => wanted.name === name && wanted.sizeMiB > sizeMiB),
        );
        for (const { name } of grows ?? []) {
          await inner
            .channelRun(ctx, spec, { argv: ["/usr/bin/tee", `/var/lib/stratiform/volumes/${name}/mark`], stdin: "" })
            .catch(() => {});
        }
        return inner.machineEnsure(ctx, spec);
      },
    }),
    red: ["volumes appear and grow while the machine runs, and keep what is on them"],
  },
  {
    // Under names of its own, shown as the wished ones: right when called twice in a row.
    name: "a volume is looked for, then made, without a fence in between",
    change(inner) {
      const shown = <T extends MachineFacts | null>(facts: T): T =>
        facts === null ? facts : { ...facts, volumes: facts.volumes.map(({ name, sizeMiB }) => ({ name: name.split("0")[0]!, sizeMiB })) };
      return {
        async machineEnsure(ctx, spec) {
          const there = (await inner.machineObserve(ctx, spec))?.volumes ?? [];
          await ctx.clock.sleep(50);
          const named = spec.volumes.map((volume) => {
            const old = there.find(({ name }) => name.startsWith(`${volume.name}0`));
            return { ...volume, name: old?.name ?? `${volume.name}0${randomBytes(3).toString("hex")}` };
          });
          return shown(await inner.machineEnsure(ctx, { ...spec, volumes: named }));
        },
        machineObserve: async (ctx, ref) => shown(await inner.machineObserve(ctx, ref)),
      };
    },
    red: ["two concurrent machineEnsure make one volume"],
  },
  {
    name: "machineRemove leaves a file behind",
    change: (inner, control, endpoint) => ({
      async machineRemove(ctx, ref) {
        const there = await inner.machineObserve(ctx, ref);
        await inner.machineRemove(ctx, ref);
        if (there !== null) await control.machinePlant(endpoint, `${ref.name}.data`);
      },
    }),
    red: ["machineRemove takes the volumes with it", "machineRemove takes the snapshots with it"],
  },
  {
    name: "a volume of a removed machine is found again",
    change(inner) {
      const left = new Map<string, number>();
      return {
        async machineEnsure(ctx, spec) {
          const wanted = spec.volumes.map((volume) => ({ ...volume, sizeMiB: Math.max(volume.sizeMiB, left.get(volume.name) ?? 0) }));
          const facts = await inner.machineEnsure(ctx, { ...spec, volumes: wanted });
          for (const { name, sizeMiB } of facts.volumes) left.set(name, sizeMiB);
          return facts;
        },
      };
    },
    red: ["machineRemove takes the volumes with it"],
  },
];

const revertOf: Sabotage["red"] = [
  "snapshotRevert brings back the disks as they were when it ran, was paused, was stopped; later snapshots stay",
];

const snapshots: readonly Sabotage[] = [
  {
    name: "snapshotEnsure makes another one each time",
    change: (inner) => ({
      async snapshotEnsure(ctx, ref, name) {
        const made = await inner.snapshotEnsure(ctx, ref, `${name}-${randomBytes(3).toString("hex")}`);
        return { ...made, name };
      },
    }),
    red: ["snapshotEnsure twice, also at once, leaves one snapshot"],
  },
  {
    name: "snapshotEnsure replaces the one that is there",
    change: (inner) => ({
      async snapshotEnsure(ctx, ref, name) {
        await inner.snapshotRemove(ctx, ref, name);
        await ctx.clock.sleep(5);
        return inner.snapshotEnsure(ctx, ref, name);
      },
    }),
    red: ["snapshotEnsure twice, also at once, leaves one snapshot"],
  },
  {
    name: "snapshotEnsure stops the machine for it",
    change: (inner) => ({
      async snapshotEnsure(ctx, ref, name) {
        await inner.machineStop(ctx, ref, { graceMs: 0 });
        return inner.snapshotEnsure(ctx, ref, name);
      },
    }),
    red: revertOf,
  },
  {
    name: "snapshotRevert does nothing",
    change: () => ({ async snapshotRevert() {} }),
    red: [...revertOf, "snapshotRevert is a conflict while the machine runs, not_found when there is no such snapshot"],
  },
  {
    name: "snapshotRevert gives up what came later",
    change: (inner) => ({
      async snapshotRevert(ctx, ref, name) {
        await inner.snapshotRevert(ctx, ref, name);
        const taken = await inner.snapshotList(ctx, ref);
        for (const later of taken.slice(taken.findIndex((each) => each.name === name) + 1))
          await inner.snapshotRemove(ctx, ref, later.name);
      },
    }),
    red: revertOf,
  },
  {
    name: "snapshotRevert starts the machine",
    change: (inner) => ({
      async snapshotRevert(ctx, ref, name) {
        await inner.snapshotRevert(ctx, ref, name);
        await inner.machineStart(ctx, ref);
      },
    }),
    red: revertOf,
  },
  {
    name: "snapshotRevert stops the machine by itself",
    change: (inner) => ({
      async snapshotRevert(ctx, ref, name) {
        await inner.machineStop(ctx, ref, { graceMs: 0 });
        await inner.snapshotRevert(ctx, ref, name);
      },
    }),
    red: ["snapshotRevert is a conflict while the machine runs, not_found when there is no such snapshot"],
  },
  {
    name: "snapshotRemove removes all",
    change: (inner) => ({
      async snapshotRemove(ctx, ref, _name) {
        for (const { name } of await inner.snapshotList(ctx, ref)) await inner.snapshotRemove(ctx, ref, name);
      },
    }),
    red: ["snapshotRemove removes one, keeps the others, and succeeds when it is missing"],
  },
  {
    name: "snapshotRemove brings the machine back to it",
    change: (inner) => ({
      async snapshotRemove(ctx, ref, name) {
        if ((await inner.machineObserve(ctx, ref))?.power === "running") {
          await inner.machineStop(ctx, ref, { graceMs: 0 });
          await inner.snapshotRevert(ctx, ref, name);
          await inner.machineStart(ctx, ref);
        }
        await inner.snapshotRemove(ctx, ref, name);
      },
    }),
    red: ["snapshotRemove of a running machine keeps its present state, also over a restart"],
  },
  {
    name: "a removed machine's snapshots are listed for its successor",
    change(inner) {
      const known = new Map<string, SnapshotFacts[]>();
      return {
        async snapshotEnsure(ctx, ref, name) {
          const facts = await inner.snapshotEnsure(ctx, ref, name);
          known.set(ref.name, [...(known.get(ref.name) ?? []), facts]);
          return facts;
        },
        snapshotList: async (_ctx, ref) => known.get(ref.name) ?? [],
      };
    },
    red: ["machineRemove takes the snapshots with it"],
  },
  {
    name: "a volume does not grow while there are snapshots",
    change: (inner) => ({
      async machineEnsure(ctx, spec) {
        const there = await inner.machineObserve(ctx, spec);
        const taken = there === null ? [] : await inner.snapshotList(ctx, spec);
        return inner.machineEnsure(ctx, taken.length > 0 ? { ...spec, volumes: [] } : spec);
      },
    }),
    red: ["a volume grows although there are snapshots, and again after a revert"],
  },
];

export const diskSabotages: readonly Sabotage[] = [...volumes, ...snapshots];
