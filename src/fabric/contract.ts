/**
 * The contract of a fabric: our adapter for the network of a site. It owns segments, isolation, exposure and reach; endpoints only
 * attach a NIC to a named segment. Same doctrine as providers: `ensure` is idempotent and safe to run twice at once, `remove` of a
 * missing thing succeeds, only objects with our mark are touched (`not_ours`).
 *
 * Guarantees every fabric gives (conformance): machines on different segments cannot reach each other; a segment with `isolated` has
 * no way out of the site and none in but `reach` and exposures; a segment without it may open connections to the outside.
 */
import type { Duplex } from "node:stream";
import type { CallContext } from "#domain/context.ts";
import type { OwnerMark } from "#domain/owner.ts";

export interface FabricCapabilities {
  readonly isolation: boolean;
  readonly exposure: boolean;
  readonly reach: boolean;
  /** Segments without `isolated` can open connections to the outside. */
  readonly outbound: boolean;
  readonly ipv6: boolean;
  /** Segments span more than one host. */
  readonly multiHost: boolean;
}

export interface SegmentRef {
  /** [a-z][a-z0-9]{0,14}: fixed by us, unique per site, usable as a Linux interface name. */
  readonly name: string;
  readonly owner: OwnerMark;
}

export interface SegmentSpec extends SegmentRef {
  /** IPv4 prefix, `10.64.3.0/24`. */
  readonly prefix: string;
  /** The fabric's own address in the prefix. */
  readonly gateway: string;
  readonly isolated: boolean;
}

export interface SegmentFacts {
  readonly name: string;
  readonly owner: OwnerMark | null;
  readonly prefix: string;
  readonly gateway: string;
  readonly isolated: boolean;
  /** What endpoints of this site attach NICs to. */
  readonly attachment: string;
}

export interface ReachTarget {
  /** Name of the segment. */
  readonly segment: string;
  readonly address: string;
  readonly port: number;
}

export interface ExposureRef {
  /** Fixed by us, unique per site. */
  readonly name: string;
  readonly owner: OwnerMark;
}

export interface ExposureSpec extends ExposureRef {
  readonly target: ReachTarget;
  /** Wished port outside; absent: the fabric chooses a free one and keeps it. */
  readonly port?: number;
}

export interface ExposureFacts {
  readonly name: string;
  readonly owner: OwnerMark | null;
  /** Where the outside connects to. */
  readonly address: string;
  readonly port: number;
  readonly target: ReachTarget;
}

export interface Fabric {
  /** `linux`, `sim`. */
  readonly kind: string;
  readonly capabilities: FabricCapabilities;
  segmentEnsure(ctx: CallContext, spec: SegmentSpec): Promise<SegmentFacts>;
  segmentRemove(ctx: CallContext, ref: SegmentRef): Promise<void>;
  segmentList(ctx: CallContext): Promise<SegmentFacts[]>;
  exposureEnsure(ctx: CallContext, spec: ExposureSpec): Promise<ExposureFacts>;
  exposureRemove(ctx: CallContext, ref: ExposureRef): Promise<void>;
  exposureList(ctx: CallContext): Promise<ExposureFacts[]>;
  /** Opens a TCP connection into a segment. `endpoint_unreachable` when refused or unanswered. */
  reach(ctx: CallContext, target: ReachTarget): Promise<Duplex>;
  close(): Promise<void>;
}

export interface FabricFactory {
  readonly kind: string;
  /** Parses the site's fabric configuration; no I/O until the first call. */
  open(config: unknown): Fabric;
}
