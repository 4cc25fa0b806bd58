/**
 * The provider for LXD 5.0 and later and for Incus: containers on one daemon, spoken to over its REST API. It keeps no state: names,
 * marks and images are all at the endpoint. What each part does is in the files beside this one; here is only the contract.
 */
import type { Duplex } from "node:stream";
import { z } from "zod";
import type { CallContext } from "#domain/context.ts";
import { AppError } from "#domain/error.ts";
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
import { channelRun } from "./channel.ts";
import { lxdConfig, targetOf, type LxdConfig } from "./config.ts";
import { LxdConnection, parseMetadata } from "./connection.ts";
import { consoleOpen } from "./console.ts";
import { untrusted } from "./failure.ts";
import { imageEnsure, imageList, imageRemove } from "./image.ts";
import { inventory } from "./inventory.ts";
import { machineEnsure, machineList, machineObserve, machineRemove } from "./machine.ts";
import { machinePause, machineStart, machineStop } from "./power.ts";
import { snapshotRevert } from "./revert.ts";
import { snapshotEnsure, snapshotList, snapshotRemove } from "./snapshot.ts";
import { watch } from "./watch.ts";

export const lxdCapabilities: ProviderCapabilities = {
  machineKinds: ["container"],
  imageFormats: ["lxd"],
  uniqueNames: true,
  events: true,
  channel: true,
  console: true,
  liveResize: true,
  pause: true,
  snapshots: true,
  volumes: true,
};

export const lxdFactory: ProviderFactory = {
  kind: "lxd",
  open(config) {
    const parsed = lxdConfig.safeParse(config);
    if (parsed.success) return new LxdProvider(parsed.data);
    throw new AppError("invalid_input", "The configuration of the LXD endpoint is not valid", { cause: parsed.error });
  },
};

/** What LXD tells anybody. */
const greetingSchema = z.object({ auth: z.string() });
const serverSchema = z.object({
  environment: z.object({ server: z.string(), server_version: z.string(), server_name: z.string(), kernel_architecture: z.string() }),
});
const resourcesSchema = z.object({ cpu: z.object({ total: z.number() }), memory: z.object({ total: z.number() }) });
const productNames: Readonly<Record<string, string>> = { lxd: "LXD", incus: "Incus" };

class LxdProvider implements Provider {
  readonly kind = "lxd";
  readonly capabilities = lxdCapabilities;
  readonly #lxd: LxdConnection;
  readonly #pool: string;

  constructor(config: LxdConfig) {
    this.#lxd = new LxdConnection(targetOf(config));
    this.#pool = config.pool;
  }

  async describe(ctx: CallContext): Promise<EndpointDescription> {
    const { metadata } = await this.#lxd.request(ctx, "GET", "/1.0");
    if (parseMetadata(greetingSchema, metadata, "/1.0").auth !== "trusted") throw untrusted("GET /1.0: auth is not trusted");
    const { environment } = parseMetadata(serverSchema, metadata, "/1.0");
    const resources = await this.#lxd.get(ctx, "/1.0/resources", resourcesSchema);
    return {
      product: `${productNames[environment.server] ?? environment.server} ${environment.server_version}`,
      host: environment.server_name,
      architecture: environment.kernel_architecture,
      accelerator: "none",
      vcpus: resources.cpu.total,
      memoryMiB: Math.floor(resources.memory.total / 1024 ** 2),
    };
  }

  imageEnsure(ctx: CallContext, source: ImageSource): Promise<ImageFacts> {
    return imageEnsure(ctx, this.#lxd, source);
  }

  imageList(ctx: CallContext): Promise<ImageFacts[]> {
    return imageList(ctx, this.#lxd);
  }

  imageRemove(ctx: CallContext, image: ImageRef): Promise<void> {
    return imageRemove(ctx, this.#lxd, image);
  }

  machineEnsure(ctx: CallContext, spec: MachineSpec): Promise<MachineFacts> {
    return machineEnsure(ctx, this.#lxd, spec, this.#pool);
  }

  machineStart(ctx: CallContext, ref: MachineRef): Promise<MachineFacts> {
    return machineStart(ctx, this.#lxd, ref);
  }

  machineStop(ctx: CallContext, ref: MachineRef, options: { readonly graceMs: number }): Promise<void> {
    return machineStop(ctx, this.#lxd, ref, options.graceMs);
  }

  machineRemove(ctx: CallContext, ref: MachineRef): Promise<void> {
    return machineRemove(ctx, this.#lxd, ref, this.#pool);
  }

  machineObserve(ctx: CallContext, ref: MachineRef): Promise<MachineFacts | null> {
    return machineObserve(ctx, this.#lxd, ref);
  }

  machineList(ctx: CallContext): Promise<MachineFacts[]> {
    return machineList(ctx, this.#lxd);
  }

  machinePause(ctx: CallContext, ref: MachineRef): Promise<MachineFacts> {
    return machinePause(ctx, this.#lxd, ref);
  }

  snapshotEnsure(ctx: CallContext, ref: MachineRef, name: string): Promise<SnapshotFacts> {
    return snapshotEnsure(ctx, this.#lxd, { ref, name, pool: this.#pool });
  }

  snapshotRevert(ctx: CallContext, ref: MachineRef, name: string): Promise<void> {
    return snapshotRevert(ctx, this.#lxd, ref, name);
  }

  snapshotRemove(ctx: CallContext, ref: MachineRef, name: string): Promise<void> {
    return snapshotRemove(ctx, this.#lxd, { ref, name, pool: this.#pool });
  }

  snapshotList(ctx: CallContext, ref: MachineRef): Promise<SnapshotFacts[]> {
    return snapshotList(ctx, this.#lxd, ref);
  }

  inventory(ctx: CallContext): Promise<InventoryItem[]> {
    return inventory(ctx, this.#lxd);
  }

  channelRun(ctx: CallContext, ref: MachineRef, command: ChannelCommand): Promise<ChannelResult> {
    return channelRun(ctx, this.#lxd, ref, command);
  }

  consoleOpen(ctx: CallContext, ref: MachineRef): Promise<Duplex> {
    return consoleOpen(ctx, this.#lxd, ref);
  }

  watch(ctx: CallContext, onEvent: (event: MachineEvent) => void, onReady: () => void): Promise<void> {
    return watch(ctx, this.#lxd, onEvent, onReady);
  }

  close(): Promise<void> {
    this.#lxd.close();
    return Promise.resolve();
  }
}
