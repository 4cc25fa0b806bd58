/** A test's hand in the simulated site: scripts faults, acts behind the control plane's back, and reads the whole world for a verdict. */
import { SocketHttp } from "#lib/socket-http.ts";
import type { EventFault, Fault, GuestBehaviour, SegmentSpecWire } from "#providers/sim/wire.ts";
import type { SimExposure, SimImage, SimMachine } from "#providers/sim/world.ts";

export type { Fault, GuestBehaviour } from "#providers/sim/wire.ts";

export interface SimDump {
  /** Number of changes since the journal began. Equal before and after means: nothing was touched. */
  readonly changes: number;
  /** Calls since the process started: `a/machineEnsure`, `fabric/segmentEnsure` to count. */
  readonly calls: Readonly<Record<string, number>>;
  readonly endpoints: Readonly<Record<string, { readonly machines: readonly SimMachine[]; readonly images: readonly SimImage[] }>>;
  readonly segments: readonly SegmentSpecWire[];
  readonly exposures: readonly SimExposure[];
}

const callLimitMs = 30_000;

export class SimControl {
  readonly #http: SocketHttp;

  constructor(socketPath: string) {
    this.#http = new SocketHttp(socketPath);
  }

  /**
   * `{ operation: "machineEnsure", nth: 2, fail: "endpoint_refused" }`, `{ operation: "*", delayMs: 500, times: 9 }`, `{ …, loseAnswer: true }`,
   * `{ operation: "machineEnsure", failAfter: "endpoint_refused", forever: true }`: made, and reported as failed, for ever.
   */
  async faultAdd(fault: Fault): Promise<void> {
    await this.#call("faultAdd", fault);
  }

  /** Forgets all faults and outages, those of events too. */
  async faultClear(): Promise<void> {
    await this.#call("faultClear", {});
  }

  /** Drops every connection of an endpoint, of `fabric`, or of all (`*`), for a time. 0 ends it. */
  async unreachable(scope: string, forMs: number): Promise<void> {
    await this.#call("unreachable", { scope, forMs });
  }

  /** The endpoint's daemon restarts: connections are cut, events lost, and nobody answers for a time. Its machines run on. */
  async daemonRestart(endpoint: string, forMs: number): Promise<void> {
    await this.#call("daemonRestart", { scope: endpoint, forMs });
  }

  /** Events of the endpoint come late or never, until `faultClear`. */
  async eventFault(fault: EventFault): Promise<void> {
    await this.#call("eventFault", fault);
  }

  /** Pulls the plug: `crashed`. */
  async machineKill(endpoint: string, name: string): Promise<void> {
    await this.#call("machineKill", { endpoint, name });
  }

  /** Removes a machine behind the control plane's back, whoever owns it: the lost container. */
  async machineVanish(endpoint: string, name: string): Promise<void> {
    await this.#call("machineVanish", { endpoint, name });
  }

  /** It runs on, but its channel and its services never answer again, until it is stopped by force. No event says so. */
  async machineHang(endpoint: string, name: string): Promise<void> {
    await this.#call("machineHang", { endpoint, name });
  }

  /** Takes a NIC of this name away. */
  async nicRemove(endpoint: string, name: string, nic: string): Promise<void> {
    await this.#call("nicRemove", { endpoint, name, nic });
  }

  /** Changes a machine's size by hand. */
  async machineChange(endpoint: string, name: string, change: { readonly vcpus?: number; readonly memoryMiB?: number }): Promise<void> {
    await this.#call("machineChange", { endpoint, name, ...change });
  }

  /** Adds a running machine of somebody else (`owner: null`), with the records an inventory finds. */
  async machinePlant(
    endpoint: string,
    name: string,
    records: { readonly description?: string; readonly createdAt?: string; readonly user?: string } = {},
  ): Promise<void> {
    await this.#call("machinePlant", { endpoint, name, ...records });
  }

  /** Makes the guest of an existing machine answer HTTP or `apply` differently. */
  async guestBehave(behaviour: GuestBehaviour): Promise<void> {
    await this.#call("guestBehave", behaviour);
  }

  /** Puts a probe host on a segment, or outside of the site (null). */
  async probeAttach(name: string, segment: string | null, address: string): Promise<void> {
    await this.#call("probeAttach", { name, segment, address });
  }

  async probeListen(name: string, port: number, answer: string): Promise<void> {
    await this.#call("probeListen", { name, port, answer });
  }

  /** What the probe host reads from there by the isolation rules of the site; null when refused or unanswered. */
  async probeFetch(name: string, address: string, port: number): Promise<string | null> {
    return (await this.#call("probeFetch", { name, address, port })) as string | null;
  }

  async probeRemove(name: string): Promise<void> {
    await this.#call("probeRemove", { name });
  }

  async dump(): Promise<SimDump> {
    return (await this.#call("dump", {})) as SimDump;
  }

  close(): void {
    this.#http.close();
  }

  #call(operation: string, body: object): Promise<unknown> {
    return this.#http.call(`/admin/${operation}`, body, AbortSignal.timeout(callLimitMs));
  }
}
