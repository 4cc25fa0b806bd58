/**
 * The provider for libvirt with QEMU. It speaks libvirt's own RPC protocol (rpc.ts, protocol.ts, client.ts), so that it needs neither a
 * native library nor access to the endpoint's files: images and seeds are uploaded by stream into a storage pool.
 *
 * This file is the edge: it connects the contract with the operations (image.ts, machine.ts, power.ts, channel.ts, console.ts, watch.ts,
 * platform.ts) and gives libvirt's errors our codes. It is no place for decisions.
 */
import type { CallContext } from "#domain/context.ts";
import type { Provider, ProviderCapabilities, ProviderFactory } from "#provider/contract.ts";
import { channelRun } from "#providers/libvirt/channel.ts";
import { consoleOpen } from "#providers/libvirt/console.ts";
import { libvirtConfigSchema } from "#providers/libvirt/config.ts";
import { LibvirtEndpoint } from "#providers/libvirt/endpoint.ts";
import { machineEnsure } from "#providers/libvirt/ensure.ts";
import { translated } from "#providers/libvirt/failure.ts";
import { imageEnsure, imageList, imageRemove } from "#providers/libvirt/image.ts";
import { inventory } from "#providers/libvirt/inventory.ts";
import { machineList, machineObserve, machineRemove } from "#providers/libvirt/machine.ts";
import { endpointDescribe } from "#providers/libvirt/platform.ts";
import { machinePause, machineStart, machineStop } from "#providers/libvirt/power.ts";
import { snapshotEnsure, snapshotList, snapshotRemove, snapshotRevert } from "#providers/libvirt/snapshot.ts";
import { machineWatch } from "#providers/libvirt/watch.ts";

export const libvirtCapabilities: ProviderCapabilities = {
  machineKinds: ["vm"],
  imageFormats: ["qcow2"],
  uniqueNames: true,
  events: true,
  channel: true,
  console: true,
  liveResize: false,
  pause: true,
  snapshots: true,
  volumes: true,
};

/** Throws the parser's error when the configuration is not valid. */
export const libvirtFactory: ProviderFactory = {
  kind: "libvirt",
  open: (config) => providerOf(new LibvirtEndpoint(libvirtConfigSchema.parse(config))),
  readOnly: (config) => ({ ...(config as object), readOnly: true }),
};

function providerOf(endpoint: LibvirtEndpoint): Provider {
  const client = (ctx: CallContext) => endpoint.client(ctx);
  return {
    kind: "libvirt",
    capabilities: libvirtCapabilities,
    describe: (ctx) => translated("describe itself", () => endpointDescribe(endpoint, ctx)),
    imageEnsure: (ctx, source) => translated("take the image", () => imageEnsure(endpoint, ctx, source)),
    imageList: (ctx) => translated("list images", () => imageList(endpoint, ctx)),
    imageRemove: (ctx, image) => translated("remove the image", () => imageRemove(endpoint, ctx, image)),
    machineEnsure: (ctx, spec) => translated("make the machine", () => machineEnsure(endpoint, ctx, spec)),
    machineStart: (ctx, ref) => translated("start the machine", async () => machineStart(await client(ctx), ref)),
    machineStop: (ctx, ref, { graceMs }) => translated("stop the machine", async () => machineStop(await client(ctx), ctx, ref, graceMs)),
    machineRemove: (ctx, ref) => translated("remove the machine", () => machineRemove(endpoint, ctx, ref)),
    machineObserve: (ctx, ref) => translated("observe the machine", async () => machineObserve(await client(ctx), ref)),
    machineList: (ctx) => translated("list machines", async () => machineList(await client(ctx))),
    machinePause: (ctx, ref) => translated("pause the machine", async () => machinePause(await client(ctx), ref)),
    snapshotEnsure: (ctx, ref, name) => translated("keep the disks", async () => snapshotEnsure(await client(ctx), ctx, ref, name)),
    snapshotRevert: (ctx, ref, name) => translated("bring the disks back", async () => snapshotRevert(await client(ctx), ref, name)),
    snapshotRemove: (ctx, ref, name) => translated("forget kept disks", async () => snapshotRemove(await client(ctx), ref, name)),
    snapshotList: (ctx, ref) => translated("list snapshots", async () => snapshotList(await client(ctx), ref)),
    inventory: (ctx) => translated("list everybody's machines", async () => inventory(await client(ctx))),
    channelRun: (ctx, ref, command) =>
      translated("run a command in the guest", async () => channelRun(await endpoint.channelClient(ctx), ctx, ref, command)),
    consoleOpen: (ctx, ref) => translated("open the console", () => consoleOpen(endpoint, ctx, ref)),
    watch: (ctx, onEvent, onReady) => translated("watch its machines", () => machineWatch(endpoint, ctx, onEvent, onReady)),
    close: () => Promise.resolve(endpoint.close()),
  };
}
