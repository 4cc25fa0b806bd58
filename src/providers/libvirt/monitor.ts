/**
 * What libvirt has no call for, asked of QEMU's own monitor through libvirt: snapshots inside the disks of a running machine, all of them in
 * one transaction. Source: QEMU's qapi/block-core.json and qapi/transaction.json. libvirt marks such a machine as tainted in its log.
 */
import { z } from "zod";
import { AppError } from "#domain/error.ts";
import type { LibvirtClient } from "#providers/libvirt/client.ts";
import type { DomainHandle } from "#providers/libvirt/protocol.ts";

export interface KeptDisk {
  readonly path: string;
  readonly target: string;
}

/** A disk as QEMU knows it, with the names of the snapshots in it. */
export interface BlockDisk {
  readonly node: string;
  readonly tags: readonly string[];
}

const blockSchema = z.array(
  z.object({
    inserted: z
      .object({
        file: z.string(),
        "node-name": z.string(),
        image: z.object({ snapshots: z.array(z.object({ name: z.string() })).default([]) }),
      })
      .optional(),
  }),
);
const replySchema = z.object({ return: z.unknown().optional(), error: z.object({ desc: z.string() }).optional() });

export async function blockSnapshots(client: LibvirtClient, domain: DomainHandle, disks: readonly KeptDisk[]): Promise<BlockDisk[]> {
  const blocks = blockSchema.parse(await ask(client, domain, { execute: "query-block" }));
  return disks.map(({ path }) => {
    const inserted = blocks.find((block) => block.inserted?.file === path)?.inserted;
    if (inserted === undefined) {
      throw new AppError("endpoint_busy", "a disk of the machine is being plugged in or out", { internal: path });
    }
    return { node: inserted["node-name"], tags: inserted.image.snapshots.map(({ name }) => name) };
  });
}

/** Keeps the state of all these disks at one moment, or of none. */
export async function disksKeep(client: LibvirtClient, domain: DomainHandle, disks: readonly BlockDisk[], tag: string): Promise<void> {
  const actions = disks.map(({ node }) => ({ type: "blockdev-snapshot-internal-sync", data: { device: node, name: tag } }));
  await ask(client, domain, { execute: "transaction", arguments: { actions } });
}

async function ask(client: LibvirtClient, domain: DomainHandle, command: object): Promise<unknown> {
  const text = await client.monitorCommand(domain, JSON.stringify(command));
  const reply = replySchema.parse(JSON.parse(text));
  if (reply.error === undefined) return reply.return;
  throw new AppError("endpoint_refused", "the machine's disks cannot be kept", { internal: reply.error.desc });
}
