/**
 * What the layers view is made from: everything known about one vApp, read in one go. Plain data, so that the engine behind the view
 * needs neither database nor endpoint and the same facts always give the same view.
 */
import type { Offering } from "#domain/blueprint.ts";
import type { RenderedVapp } from "#domain/blueprint-render.ts";
import type { Fact } from "#domain/fact.ts";
import type { Health } from "#domain/plan.ts";

/** A fact older than this is shown as stale: three rounds of the sampler that looks at it were missed. All in milliseconds. */
export const layerStaleMs = { machine: 20_000, health: 20_000, network: 45_000, endpoint: 100_000 } as const;

/** What machines want and have; times are milliseconds since the epoch here and below. */
export interface LayerMachine {
  readonly id: string;
  readonly name: string;
  readonly tier: string;
  readonly ordinal: number;
  readonly kind: "vm" | "container";
  readonly desired: "running" | "stopped" | "deleted";
  readonly state: string;
  readonly stateAt: number;
  /** Null while it answers its health check, or nobody knows. */
  readonly unhealthySince: number | null;
  readonly image: string;
  readonly imageDigest: string;
  readonly size: string;
  readonly vcpus: number;
  readonly memoryMiB: number;
  readonly volumes: readonly { readonly name: string; readonly sizeMiB: number }[];
  /** Names of the segments it is on. */
  readonly segments: readonly string[];
  readonly health: Health | null;
  /** Why it landed where it is. */
  readonly reason: string;
  readonly endpoint: string;
  readonly provider: string;
  readonly externalName: string;
  readonly addresses: readonly { readonly segment: string; readonly address: string; readonly mac: string }[];
  readonly facts: readonly Fact[];
}

export interface LayerSegment {
  readonly name: string;
  readonly isolated: boolean;
  readonly externalName: string;
  readonly prefix: string | null;
  readonly attachment: string | null;
  readonly facts: readonly Fact[];
}

export interface LayerExposure {
  readonly name: string;
  readonly machine: string;
  readonly segment: string;
  readonly targetPort: number;
  readonly address: string | null;
  readonly port: number | null;
  readonly facts: readonly Fact[];
}

export interface LayerEndpoint {
  readonly name: string;
  readonly provider: string;
  readonly state: "unchecked" | "ready" | "unreachable";
  readonly checkedAt: number | null;
  /** Whether its provider opens serial consoles and executes in guests. */
  readonly console: boolean;
  readonly channel: boolean;
}

/** The newest order that carried out a kind of step on a subject, and so set what is desired of it. */
export interface LayerSetBy {
  /** Kind of the step. */
  readonly kind: string;
  /** Name of the machine, segment, exposure or snapshot; null for the vApp as a whole. */
  readonly subject: string | null;
  readonly order: LayerOrder;
}

export interface LayerOrder {
  readonly id: string;
  readonly run: string;
  readonly process: string;
  readonly principal: string;
  readonly policy: string | null;
  readonly state: "running" | "succeeded" | "compensated" | "failed";
  readonly createdAt: number;
  /** Generation of the vApp the order made. */
  readonly generation: number;
}

export interface LayerFacts {
  readonly at: number;
  readonly vapp: {
    readonly id: string;
    readonly name: string;
    readonly project: string;
    readonly desired: "running" | "stopped" | "deleted";
    readonly state: string;
    readonly generation: number;
    readonly createdAt: number;
    readonly deleteAt: number | null;
    readonly costPerHour: string;
    readonly currency: string;
    readonly run: string | null;
    readonly facts: readonly Fact[];
  };
  readonly offering: Offering;
  readonly blueprint: RenderedVapp;
  readonly machines: readonly LayerMachine[];
  readonly segments: readonly LayerSegment[];
  readonly exposures: readonly LayerExposure[];
  readonly snapshots: readonly {
    readonly name: string;
    readonly state: string;
    readonly machines: readonly string[];
    readonly takenAt: number | null;
  }[];
  readonly secrets: readonly { readonly name: string; readonly createdAt: number }[];
  readonly endpoints: readonly LayerEndpoint[];
  /** Grants that cover the project of the vApp. */
  readonly grants: readonly { readonly principal: string; readonly role: string }[];
  /** Newest first. The last one is the deployment. */
  readonly orders: readonly LayerOrder[];
  readonly setBy: readonly LayerSetBy[];
  /** The configuration each machine was last handed. */
  readonly configured: readonly { readonly machine: string; readonly generation: number; readonly at: number; readonly run: string }[];
  /** Last ledger entry of each resource. */
  readonly ledger: readonly { readonly resource: string; readonly name: string; readonly state: string; readonly at: number }[];
}
