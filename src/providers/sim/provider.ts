/** The provider of the simulated site: a thin client, like any provider. All state and all faults are at the other end of the socket. */
import { createInterface } from "node:readline";
import type { Duplex } from "node:stream";
import { z } from "zod";
import type { CallContext } from "#domain/context.ts";
import { AppError } from "#domain/error.ts";
import { SocketHttp } from "#lib/socket-http.ts";
import type {
  ChannelCommand,
  ChannelResult,
  EndpointDescription,
  ImageFacts,
  ImageRef,
  ImageSource,
  InventoryItem,
  MachineEvent,
  MachineFacts,
  MachineRef,
  MachineSpec,
  Provider,
  ProviderCapabilities,
  ProviderFactory,
  SnapshotFacts,
} from "#provider/contract.ts";
import * as wire from "#providers/sim/wire.ts";

export const simConfig = z.object({
  socket: z.string().min(1),
  /** Which of the site's endpoints: each name is one, made on first use. `fabric` is taken. */
  endpoint: z.string().regex(/^(?!fabric$)[a-z][a-z0-9-]{0,62}$/),
  kinds: z
    .array(z.enum(["vm", "container"]))
    .min(1)
    .default(["vm", "container"]),
  vcpus: z.int().min(1).default(4_096),
  memoryMiB: z.int().min(1).default(16_777_216),
});
export type SimConfig = z.output<typeof simConfig>;

export const simFactory: ProviderFactory = {
  kind: "sim",
  open: (config) => new SimProvider(simConfig.parse(config)),
};

/** What a simulated endpoint of these kinds can do. */
export function simCapabilities(kinds: SimConfig["kinds"]): ProviderCapabilities {
  return {
    machineKinds: kinds,
    imageFormats: ["sim", "qcow2", "lxd"],
    uniqueNames: true,
    events: true,
    channel: true,
    console: false,
    liveResize: true,
    pause: true,
    snapshots: true,
    volumes: true,
  };
}

export class SimProvider implements Provider {
  readonly kind = "sim";
  readonly capabilities: ProviderCapabilities;
  readonly #config: SimConfig;
  readonly #http: SocketHttp;

  constructor(config: SimConfig) {
    this.#config = config;
    this.#http = new SocketHttp(config.socket);
    this.capabilities = simCapabilities(config.kinds);
  }

  async describe(ctx: CallContext): Promise<EndpointDescription> {
    const { host } = z.object({ host: z.string() }).parse(await this.#call(ctx, "describe", {}));
    const { vcpus, memoryMiB } = this.#config;
    return { product: "simulated site", host, architecture: "x86_64", accelerator: "none", vcpus, memoryMiB };
  }

  /** Takes any format by its name and digest; the file is not read. */
  async imageEnsure(ctx: CallContext, { name, digest, sizeBytes }: ImageSource): Promise<ImageFacts> {
    return wire.imageFacts.parse(await this.#call(ctx, "imageEnsure", { name, digest, sizeBytes }));
  }

  async imageList(ctx: CallContext): Promise<ImageFacts[]> {
    return z.array(wire.imageFacts).parse(await this.#call(ctx, "imageList", {}));
  }

  async imageRemove(ctx: CallContext, { name, digest }: ImageRef): Promise<void> {
    await this.#call(ctx, "imageRemove", { name, digest });
  }

  async machineEnsure(ctx: CallContext, spec: MachineSpec): Promise<MachineFacts> {
    if (!this.#config.kinds.includes(spec.kind)) {
      throw new AppError("capability_missing", `endpoint ${this.#config.endpoint} has no machines of kind ${spec.kind}`);
    }
    return wire.machineFacts.parse(await this.#call(ctx, "machineEnsure", spec));
  }

  async machineStart(ctx: CallContext, ref: MachineRef): Promise<MachineFacts> {
    return wire.machineFacts.parse(await this.#call(ctx, "machineStart", refOf(ref)));
  }

  /** A simulated guest obeys at once; only a hung one uses the grace up. */
  async machineStop(ctx: CallContext, ref: MachineRef, { graceMs }: { readonly graceMs: number }): Promise<void> {
    await this.#call(ctx, "machineStop", { ...refOf(ref), graceMs });
  }

  async machineRemove(ctx: CallContext, ref: MachineRef): Promise<void> {
    await this.#call(ctx, "machineRemove", refOf(ref));
  }

  async machineObserve(ctx: CallContext, ref: MachineRef): Promise<MachineFacts | null> {
    return wire.machineFacts.nullable().parse(await this.#call(ctx, "machineObserve", refOf(ref)));
  }

  async machineList(ctx: CallContext): Promise<MachineFacts[]> {
    return z.array(wire.machineFacts).parse(await this.#call(ctx, "machineList", {}));
  }

  async machinePause(ctx: CallContext, ref: MachineRef): Promise<MachineFacts> {
    return wire.machineFacts.parse(await this.#call(ctx, "machinePause", refOf(ref)));
  }

  async snapshotEnsure(ctx: CallContext, ref: MachineRef, name: string): Promise<SnapshotFacts> {
    return wire.snapshotFacts.parse(await this.#call(ctx, "snapshotEnsure", { ...refOf(ref), snapshot: name }));
  }

  async snapshotRevert(ctx: CallContext, ref: MachineRef, name: string): Promise<void> {
    await this.#call(ctx, "snapshotRevert", { ...refOf(ref), snapshot: name });
  }

  async snapshotRemove(ctx: CallContext, ref: MachineRef, name: string): Promise<void> {
    await this.#call(ctx, "snapshotRemove", { ...refOf(ref), snapshot: name });
  }

  async snapshotList(ctx: CallContext, ref: MachineRef): Promise<SnapshotFacts[]> {
    return z.array(wire.snapshotFacts).parse(await this.#call(ctx, "snapshotList", refOf(ref)));
  }

  async inventory(ctx: CallContext): Promise<InventoryItem[]> {
    return z.array(wire.inventoryItem).parse(await this.#call(ctx, "inventory", {}));
  }

  async channelRun(ctx: CallContext, ref: MachineRef, command: ChannelCommand): Promise<ChannelResult> {
    return wire.channelResult.parse(await this.#call(ctx, "channelRun", { ...refOf(ref), ...command }));
  }

  async consoleOpen(_ctx: CallContext, _ref: MachineRef): Promise<Duplex> {
    throw new AppError("capability_missing", "simulated machines have no console");
  }

  async watch(ctx: CallContext, onEvent: (event: MachineEvent) => void, onReady: () => void): Promise<void> {
    const stream = await this.#http.stream(this.#path("watch"), {}, ctx.signal);
    try {
      for await (const line of createInterface({ input: stream })) {
        const message: unknown = JSON.parse(line);
        if (typeof message === "object" && message !== null && "ready" in message) onReady();
        else onEvent(wire.machineEvent.parse(message));
      }
    } catch (cause) {
      if (ctx.signal.aborted) return;
      throw new AppError("endpoint_unreachable", "the event stream was lost", { cause });
    }
    if (!ctx.signal.aborted) throw new AppError("endpoint_unreachable", "the event stream ended");
  }

  async close(): Promise<void> {
    this.#http.close();
  }

  #call(ctx: CallContext, operation: string, body: object): Promise<unknown> {
    return this.#http.call(this.#path(operation), body, ctx.signal);
  }

  #path(operation: string): string {
    return `/endpoints/${this.#config.endpoint}/${operation}`;
  }
}

/** A specification is also a reference; only the reference is sent. */
function refOf({ name, owner }: MachineRef): MachineRef {
  return { name, owner };
}
