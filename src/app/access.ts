/**
 * The ways into a machine that are not orders: its serial console, a TCP connection to one of its ports, a key for ssh. Each is asked of
 * policy, of the blueprint's `access` layer (who ordered the vApp, the project, or nobody) and of what the endpoint can do, before
 * anything is opened; each leaves two rows in the audit: who came in when, and how long and how much it was. What went through is nobody's
 * business and is kept nowhere.
 */
import type { Duplex } from "node:stream";
import { AppError } from "#domain/error.ts";
import { formatId } from "#domain/id.ts";
import type { Actor, AppContext, DecidedContext } from "#app/context.ts";
import { requireAccess, type AccessLayer } from "#app/access-layer.ts";
import type { Resource } from "#app/policy.ts";
import { projectResource, theVappNamed } from "#app/resource.ts";
import { machineRef } from "#app/steps/realised.ts";
import { auditOf, useCase } from "#app/use-case.ts";
import { auditInsert } from "#store/audit.ts";
import { addressList, machineByName, machineList, segmentList, type MachineRow, type VappRow } from "#store/vapp.ts";

export interface MachineName {
  readonly vapp: string;
  readonly machine: string;
}

export interface TunnelTarget extends MachineName {
  readonly port: number;
  readonly segment?: string | undefined;
}

/** How an open way ended. */
export interface WayReport {
  readonly reason: string;
  readonly durationMs: number;
  /** Into the machine, and out of it. */
  readonly bytesIn: number;
  readonly bytesOut: number;
}

/** A way that stands: bytes in both directions until one side ends. */
export interface OpenWay {
  readonly stream: Duplex;
  /** Asked again and again while it is open; `actor` is read anew, null when its token is no longer valid. */
  mayGoOn(actor: Actor | null): Promise<boolean>;
  /** Call it once, when it has ended. Never throws: what cannot be written is logged. */
  ended(report: WayReport): Promise<void>;
}

const ofProject = async (ctx: AppContext, { vapp }: MachineName): Promise<Resource> => projectResource(await theVappNamed(ctx, vapp));

export const openConsole = useCase({ action: "vapp.console", resource: ofProject }, async (ctx, name: MachineName): Promise<OpenWay> => {
  const place = await findConsole(ctx, name);
  const provider = await ctx.platform.endpoints.provider(place.machine.endpoint_id);
  const stream = await provider.consoleOpen(ctx, machineRef(ctx.platform, place.machine));
  return wayOf(ctx, place, "console", stream, {});
});

export const openTunnel = useCase(
  { action: "vapp.tunnel", resource: async (ctx, target: TunnelTarget) => ({ ...(await ofProject(ctx, target)), port: target.port }) },
  async (ctx, target): Promise<OpenWay> => {
    const place = await theMachineOf(ctx, target, "ssh");
    const { platform } = ctx;
    const address = await theAddress(ctx, place, target.segment);
    const fabric = await platform.endpoints.fabric(place.vapp.site_id);
    const stream = await fabric.reach(ctx, { segment: address.externalName, address: address.address, port: target.port });
    return wayOf(ctx, place, "ssh", stream, { segment: address.segment, port: target.port });
  },
);

/** Everything that can be said against a console before it is opened. Browsers are not told why an upgrade was refused, so they ask first. */
export async function findConsole(ctx: AppContext, name: MachineName): Promise<MachinePlace> {
  const place = await theMachineOf(ctx, name, "console");
  const { machine, vapp } = place;
  const provider = await ctx.platform.endpoints.provider(machine.endpoint_id);
  if (provider.capabilities.console) return place;
  throw new AppError("capability_missing", `${machine.name} has no console`, {
    detail: [
      {
        constraint: "a console is given by the endpoint of the machine",
        source: `provider ${provider.kind}`,
        nearest: `run a command instead: strat vapp exec ${vapp.name} ${machine.name} -- COMMAND`,
      },
    ],
  });
}

export interface MachinePlace {
  readonly vapp: VappRow;
  readonly machine: MachineRow;
}

/** The machine, when its vApp's access layer lets the actor in and it runs. */
export async function theMachineOf(ctx: AppContext, name: MachineName, layer: AccessLayer): Promise<MachinePlace> {
  const db = ctx.platform.database;
  const vapp = await theVappNamed(ctx, name.vapp);
  const machine = await machineByName(db, vapp.id, name.machine);
  if (machine === undefined) {
    const names = (await machineList(db, [vapp.id])).map((row) => row.name);
    throw new AppError("not_found", `${vapp.name} has no machine "${name.machine}"`, {
      detail: [
        {
          constraint: "a request names a machine of the vApp",
          source: `vApp ${vapp.name}`,
          nearest: names.length === 0 ? "it has none now" : `use one of: ${names.join(", ")}`,
        },
      ],
    });
  }
  await requireAccess(ctx, vapp, layer);
  if (machine.state === "running" || machine.state === "unknown") return { vapp, machine };
  throw new AppError("conflict", `${machine.name} is ${machine.state}`, {
    detail: [
      {
        constraint: "there is a way into a machine only while it runs",
        source: `machine ${machine.name} of ${vapp.name}`,
        nearest:
          machine.desired === "running" ? `have it repaired: strat vapp repair ${vapp.name}` : `start it: strat vapp start ${vapp.name}`,
      },
    ],
  });
}

interface PlacedAddress {
  readonly segment: string;
  readonly externalName: string;
  readonly address: string;
}

/** Where the machine is reached: on the segment named, or on its first. */
async function theAddress(ctx: AppContext, { vapp, machine }: MachinePlace, wanted: string | undefined): Promise<PlacedAddress> {
  const db = ctx.platform.database;
  const addresses = await addressList(db, [machine.id]);
  const found = wanted === undefined ? addresses[0] : addresses.find(({ segment_name }) => segment_name === wanted);
  const segment = (await segmentList(db, [vapp.id])).find(({ id }) => id === found?.segment_id);
  if (found !== undefined && segment !== undefined) {
    return { segment: segment.name, externalName: segment.external_name, address: found.address };
  }
  throw new AppError("not_found", `${machine.name} has no address${wanted === undefined ? "" : ` on segment "${wanted}"`}`, {
    detail: [
      {
        constraint: "a tunnel leads to an address of the machine",
        source: `machine ${machine.name} of ${vapp.name}`,
        nearest: `use one of its segments: ${addresses.map(({ segment_name }) => segment_name).join(", ") || "none"}`,
      },
    ],
  });
}

async function wayOf(
  ctx: DecidedContext,
  place: MachinePlace,
  layer: AccessLayer,
  stream: Duplex,
  what: { segment?: string; port?: number },
): Promise<OpenWay> {
  const { platform, decision, log } = ctx;
  // Nobody may listen yet, and an error nobody listens to ends the process.
  stream.on("error", () => {});
  const about = { vapp: formatId("vapp", place.vapp.id), machine: place.machine.name, ...what };
  try {
    await auditInsert(platform.database, auditOf(ctx, { ...about, way: "opened" }));
  } catch (error) {
    stream.destroy();
    throw error;
  }
  return {
    stream,
    async mayGoOn(actor) {
      if (actor === null || actor.principalId !== ctx.actor.principalId) return false;
      if (platform.policy.decide(actor, decision.action, decision.resource, "", what.port).decision !== "permit") return false;
      return requireAccess({ ...ctx, actor }, place.vapp, layer).then(
        () => true,
        (error: unknown) => {
          if (error instanceof AppError && error.code === "forbidden") return false;
          throw error;
        },
      );
    },
    async ended({ reason, durationMs, bytesIn, bytesOut }) {
      const data = { ...about, way: "closed", reason, seconds: Math.round(durationMs / 1_000), bytesIn, bytesOut };
      await auditInsert(platform.database, auditOf(ctx, data)).catch((error: unknown) =>
        log.error({ error: String(error), ...data }, "the end of a way into a machine could not be written to the audit"),
      );
    },
  };
}
