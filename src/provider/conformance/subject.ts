/**
 * What a provider's test hands to the conformance suite, and the bench every check works on. The suite may import `domain` only,
 * so it brings its own wall clock and a silent log. A check owns its names (random) and its connections; the bench removes both.
 */
import assert from "node:assert/strict";
import { randomBytes, randomUUID } from "node:crypto";
import type { CallContext } from "#domain/context.ts";
import { AppError, type ErrorCode } from "#domain/error.ts";
import type { OwnerMark } from "#domain/owner.ts";
import type { ImageSource, MachineRef, MachineSpec, NicSpec, Provider, ProviderCapabilities } from "#provider/contract.ts";

/** Everything the suite must be able to do besides calling the provider. All members are called inside tests, after `beforeAll`. */
export interface ConformanceSubject {
  /** Title of the suite: `sim`, `libvirt (tcg)`. */
  readonly name: string;
  /** What the provider must declare. Known before the endpoint runs, because it decides the names of the tests. */
  readonly capabilities: ProviderCapabilities;
  /** A new connection each time; the check closes it. */
  open(): Provider | Promise<Provider>;
  /** The same provider with an address where nobody answers. */
  openUnreachable(): Provider | Promise<Provider>;
  /** A machine this endpoint can realise, of one of its kinds, using the image of `imageSource` and an existing attachment. */
  machine(overrides: MachineRef & Partial<MachineSpec>): MachineSpec;
  /** No machine outside the suite may use it: the checks remove and import it. */
  imageSource(): ImageSource | Promise<ImageSource>;
  /** Makes an object of somebody else, with the endpoint's own tools, not with the provider. */
  readonly foreign: {
    create(name: string): Promise<void>;
    /** Any text that changes when the object changes (its definition and power); "" when it is gone. */
    fingerprint(name: string): Promise<string>;
    remove(name: string): Promise<void>;
  };
  /** Pulls the plug of a running machine behind the provider's back (virsh destroy, kill -9 of its process). */
  kill(name: string): Promise<void>;
  /** Drift made with the endpoint's own tools, behind the provider's back. Each resolves once the endpoint shows it. */
  readonly byHand: {
    /** Takes a NIC from a machine that runs and answers on its channel. */
    nicRemove(name: string, nic: NicSpec): Promise<void>;
    /** Of a machine that runs where the endpoint has `liveResize`, else of a stopped one. */
    memorySet(name: string, memoryMiB: number): Promise<void>;
  };
  /** A short text on a disk of a running guest, through the channel, durable as after `fsync`. `volume` null: its system disk. */
  readonly content: {
    write(provider: Provider, ctx: CallContext, spec: MachineSpec, volume: string | null, text: string): Promise<void>;
    /** "" when nothing was written. */
    read(provider: Provider, ctx: CallContext, spec: MachineSpec, volume: string | null): Promise<string>;
  };
  /** What the endpoint's own tools still show of a machine of that name: definition, disks, volumes, snapshots, seed. */
  leftovers(name: string): Promise<readonly string[]>;
  /** How long a started guest may take until its channel answers. Default 60 000. */
  readonly guestReadyMs?: number;
}

export type Needed = "channel" | "events" | "console" | "liveResize" | "pause" | "snapshots" | "volumes";

/** One property of a provider, checkable without a test framework. */
export interface ConformanceCheck {
  readonly name: string;
  /** The capabilities without which the check makes no sense; the suite then runs the `lacks:` check instead. */
  readonly needs?: Needed | readonly Needed[];
  /** Throws when the provider breaks the property. */
  run(subject: ConformanceSubject): Promise<void>;
}

const callLimitMs = 120_000;

export const wallClock: CallContext["clock"] = {
  now: () => Date.now(),
  sleep: (ms) => new Promise((resolve) => setTimeout(resolve, ms)),
};

export function callContext(signal: AbortSignal = AbortSignal.timeout(callLimitMs)): CallContext {
  return { signal, clock: wallClock, log: { debug() {}, info() {}, warn() {}, error() {} } };
}

/** A subject with one open connection and a list of what to clean up. */
export class Bench {
  readonly subject: ConformanceSubject;
  readonly provider: Provider;
  readonly ctx: CallContext = callContext();
  readonly #refs: MachineRef[] = [];
  readonly #providers: Provider[];

  constructor(subject: ConformanceSubject, provider: Provider) {
    this.subject = subject;
    this.provider = provider;
    this.#providers = [provider];
  }

  /** A second connection, so that two callers are really concurrent. */
  async another(): Promise<Provider> {
    const provider = await this.subject.open();
    this.#providers.push(provider);
    return provider;
  }

  /** A specification under a fresh name and mark; its image is at the endpoint, it is removed at the end. */
  async spec(overrides: Partial<MachineSpec> = {}): Promise<MachineSpec> {
    await this.provider.imageEnsure(this.ctx, await this.subject.imageSource());
    const spec = this.subject.machine({ name: freshName(), owner: freshOwner(), ...overrides });
    this.#refs.push({ name: spec.name, owner: spec.owner });
    return spec;
  }

  /** A machine that exists, stopped. */
  async made(overrides: Partial<MachineSpec> = {}): Promise<MachineSpec> {
    const spec = await this.spec(overrides);
    await this.provider.machineEnsure(this.ctx, spec);
    return spec;
  }

  /** A machine whose guest answers on the channel. */
  async ready(overrides: Partial<MachineSpec> = {}): Promise<MachineSpec> {
    const spec = await this.made(overrides);
    await this.started(spec);
    return spec;
  }

  /** Starts the machine and waits for its channel; checks that use it need one. */
  async started(spec: MachineSpec): Promise<void> {
    await this.provider.machineStart(this.ctx, spec);
    const deadline = Date.now() + (this.subject.guestReadyMs ?? 60_000);
    for (;;) {
      try {
        await this.provider.channelRun(this.ctx, spec, { argv: ["/bin/echo", "ready"] });
        return;
      } catch (error) {
        const booting = error instanceof AppError && error.code === "endpoint_busy";
        if (!booting || Date.now() > deadline) throw error;
      }
      await wallClock.sleep(100);
    }
  }

  /** How many objects at the endpoint bear the name. */
  async count(name: string): Promise<number> {
    return (await this.provider.machineList(this.ctx)).filter((facts) => facts.name === name).length;
  }

  /** A mark on the system disk and on every volume of the specification. */
  async mark(spec: MachineSpec, text: string): Promise<void> {
    for (const disk of disksOf(spec)) await this.subject.content.write(this.provider, this.ctx, spec, disk, text);
  }

  /** Asserts that every disk holds the mark. */
  async assertMarked(spec: MachineSpec, text: string): Promise<void> {
    for (const disk of disksOf(spec)) {
      const found = await this.subject.content.read(this.provider, this.ctx, spec, disk);
      assert.equal(found, text, `of ${disk === null ? "the system disk" : `volume ${disk}`}`);
    }
  }

  async close(): Promise<void> {
    const ctx = callContext();
    for (const ref of this.#refs) await this.provider.machineRemove(ctx, ref);
    for (const provider of this.#providers) await provider.close();
  }
}

const disksOf = (spec: MachineSpec): (string | null)[] => [null, ...spec.volumes.map(({ name }) => name)];

/** Turns a check on a bench into one on a subject. A failing clean-up never hides the check's own error. */
export function check(name: string, run: (bench: Bench) => Promise<void>, needs?: ConformanceCheck["needs"]): ConformanceCheck {
  return {
    name,
    ...(needs === undefined ? {} : { needs }),
    async run(subject) {
      const bench = new Bench(subject, await subject.open());
      try {
        await run(bench);
      } catch (error) {
        await bench.close().catch(() => {});
        throw error;
      }
      await bench.close();
    },
  };
}

/** `c` + 8 hex: short enough for every endpoint, and not the name of anything else. */
export function freshName(): string {
  return `c${randomBytes(4).toString("hex")}-node-0`;
}

export function freshOwner(): OwnerMark {
  return { installation: randomUUID(), vapp: randomUUID(), object: randomUUID() };
}

/** Asserts that the call rejects with an AppError of exactly this code. */
export async function rejectsWith(code: ErrorCode, call: () => Promise<unknown>): Promise<void> {
  try {
    await call();
  } catch (error) {
    assert.ok(error instanceof AppError, `expected AppError ${code}, got ${String(error)}`);
    assert.equal(error.code, code, `${error.message} (${error.internal ?? "no internal text"})`);
    return;
  }
  assert.fail(`expected ${code}, but the call succeeded`);
}

/** Waits on a level: until `predicate` holds, at most `limitMs`. */
export async function within(limitMs: number, what: string, predicate: () => boolean): Promise<void> {
  const deadline = Date.now() + limitMs;
  while (!predicate()) {
    assert.ok(Date.now() < deadline, `not within ${limitMs} ms: ${what}`);
    await wallClock.sleep(10);
  }
}
