/**
 * The suite every fabric passes. A fabric's own test file makes a `FabricSubject` (a running site, and a way to put tiny probe
 * hosts on its segments) and calls `fabricConformance(subject)` once. Only the promises of `fabric/contract.ts` are tested here;
 * what one fabric adds is tested beside it. A capability a fabric lacks is printed, and its refusal is tested instead.
 */
import { text } from "node:stream/consumers";
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import type { CallContext, Clock } from "#domain/context.ts";
import { isAppError } from "#domain/error.ts";
import type { OwnerMark } from "#domain/owner.ts";
import type { ExposureSpec, Fabric, FabricCapabilities, SegmentFacts, SegmentSpec } from "#fabric/contract.ts";

/** A tiny host that can listen and connect: on a segment of the site, or outside of it. */
export interface ProbeHost {
  /** IPv4 address others use for it. */
  readonly address: string;
  /** Listens on a TCP port of this host; every connection is sent `answer` and closed. Resolves once it listens. */
  listen(port: number, answer: string): Promise<void>;
  /** Connects from this host and reads to the end. Null when refused, or unanswered for `timeoutMs`. */
  fetch(address: string, port: number, timeoutMs: number): Promise<string | null>;
  /** Stops its listeners and takes it off its segment. May be called twice. */
  remove(): Promise<void>;
}

/** One running site, as its fabric's own test knows it. */
export interface FabricSubject {
  /** Title of the suite. */
  readonly name: string;
  /** What `open().capabilities` must say; known before the site runs, so that the suite can list what is missing. */
  readonly capabilities: FabricCapabilities;
  /** Brings the site up. Called once. */
  start(): Promise<void>;
  /** Takes the site down and cleans up. Called once. */
  stop(): Promise<void>;
  /** A new client of the site. The suite closes it. */
  open(): Promise<Fabric>;
  /** Puts a probe host on a segment, with the segment's gateway as its default route, also when the segment is isolated. */
  attachHost(segment: SegmentFacts, address: string): Promise<ProbeHost>;
  /** A host outside the site: guests of a segment with a way out reach it at its `address`, and it connects to exposures. */
  outside(): Promise<ProbeHost>;
  /** Restarts whatever carries the fabric out (agent, simulator) the hard way, as after a crash. Clients are opened anew after it. */
  restart(): Promise<void>;
}
