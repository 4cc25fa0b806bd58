/**
 * What a step or a sampler learned, as data: written to the database in one transaction with its journal row or fact.
 * Machines, segments and exposures are named as in the vApp.
 */
import type { Drift } from "#domain/drift.ts";
import type { Layer } from "#domain/fact.ts";
import type { Json } from "#domain/json.ts";

export type PowerState = "running" | "stopped" | "paused" | "crashed" | "unknown";

export type Change =
  | { readonly type: "segment.realised"; readonly segment: string; readonly attachment: string }
  | { readonly type: "segment.removed"; readonly segment: string }
  | {
      readonly type: "machine.observed";
      readonly machine: string;
      readonly power: PowerState;
      readonly facts: readonly FactInput[];
      /** What differs from the specification; empty when nothing does. */
      readonly drift: readonly Drift[];
    }
  | { readonly type: "machine.healthy"; readonly machine: string }
  | { readonly type: "machine.removed"; readonly machine: string }
  /** It was made anew and has no disks of these snapshots (names within the vApp) any more. */
  | { readonly type: "machine.forgotSnapshots"; readonly machine: string; readonly snapshots: readonly string[] }
  /** Its size or its volumes are now these; charged so from now on. */
  | {
      readonly type: "machine.resized";
      readonly machine: string;
      readonly size: string;
      readonly vcpus: number;
      readonly memoryMiB: number;
      readonly storageMiB: number;
      readonly volumes: readonly { readonly name: string; readonly sizeMiB: number }[];
    }
  | { readonly type: "exposure.realised"; readonly exposure: string; readonly address: string; readonly port: number }
  | { readonly type: "exposure.removed"; readonly exposure: string };

/** An observed attribute before it has a subject. */
export interface FactInput {
  readonly layer: Layer;
  readonly name: string;
  readonly value: Json;
  /** Where it was seen: `libvirt:local`, `lxd:local`, `agent:local`, `guest`, `probe`. */
  readonly source: string;
}
