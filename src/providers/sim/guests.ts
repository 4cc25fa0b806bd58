/** The insides of simulated machines: their memory, their channel, and what they answer. */
import { AppError } from "#domain/error.ts";
import { fileRead, fileWritten } from "#providers/sim/disks.ts";
import { freshBoot, guestRun, newGuestMemory, type GuestMemory, type GuestResult } from "#providers/sim/guest.ts";
import { missing, pause, type Machines } from "#providers/sim/machines.ts";
import { poolsApplied } from "#providers/sim/pools.ts";
import type { ChannelRequestWire } from "#providers/sim/wire.ts";
import type { SimMachine, World } from "#providers/sim/world.ts";

const channelOutputLimitBytes = 1_048_576;

/** What a connection to a machine meets: nobody, somebody who never says a word, or an HTTP server. */
export type Answering = "nothing" | "silence" | { readonly httpStatus: number };

/** A program of some guests that acts on their machine. */
export type GuestProgram = (machine: SimMachine, args: readonly string[]) => GuestResult;

export class Guests {
  readonly programs = new Map<string, GuestProgram>();
  readonly #world: World;
  readonly #machines: Machines;
  readonly #memories = new Map<string, GuestMemory>();

  constructor(world: World, machines: Machines) {
    this.#world = world;
    this.#machines = machines;
  }

  /** `signal` aborts when the client hangs up. */
  async channelRun(endpoint: string, request: ChannelRequestWire, signal: AbortSignal): Promise<object> {
    const machine = this.#machines.owned(endpoint, request);
    if (machine === null) throw missing(request.name);
    if (machine.power !== "running") throw new AppError("endpoint_busy", `machine ${request.name} is ${machine.power}`);
    const sleepMs = machine.hung ? Number.POSITIVE_INFINITY : sleepOf(request.argv);
    if (sleepMs > 0) await pause(Math.min(sleepMs, request.timeoutMs), signal);
    if (sleepMs > request.timeoutMs) throw new AppError("timeout", "the command did not finish in time");
    const { exitCode, stdout, stderr } = this.#run(machine, request);
    return { exitCode, stdout: cut(stdout), stderr: cut(stderr), truncated: cut(stdout) !== stdout || cut(stderr) !== stderr };
  }

  answering(endpoint: string, name: string): Answering {
    const machine = this.#world.endpoint(endpoint).machines.get(name);
    if (machine === undefined || machine.contextDigest === null) return "nothing";
    if (machine.power === "paused" || machine.hung) return "silence";
    return machine.power === "running" ? { httpStatus: this.memory(machine).httpStatus } : "nothing";
  }

  behave(endpoint: string, name: string, change: { httpStatus?: number | undefined; applyExitCode?: number | undefined }): void {
    const memory = this.memory(this.#machines.any(endpoint, name));
    if (change.httpStatus !== undefined) memory.httpStatus = change.httpStatus;
    if (change.applyExitCode !== undefined) memory.applyExitCode = change.applyExitCode;
  }

  forget(externalId: string): void {
    this.#memories.delete(externalId);
  }

  #run(machine: SimMachine, { argv, stdin }: ChannelRequestWire): GuestResult {
    const [path = "", ...args] = argv;
    const program = this.programs.get(path);
    if (program !== undefined) return program(machine, args);
    const result = guestRun(argv, stdin, this.memory(machine), {
      read: (path) => fileRead(machine, path),
      write: (path, text) => this.#written(fileWritten(machine, path, text)),
    });
    if (result.contextDigest === undefined) return result;
    const { contextDigest } = result;
    const pools = poolsApplied(machine.pools, JSON.parse(stdin));
    const isNew = contextDigest !== machine.contextDigest || JSON.stringify(pools) !== JSON.stringify(machine.pools);
    if (isNew) this.#machines.put({ ...machine, contextDigest, pools });
    return result;
  }

  #written(machine: SimMachine | null): boolean {
    if (machine !== null) this.#machines.put(machine);
    return machine !== null;
  }

  /** How a guest was told to behave outlasts its boots, what it holds does not. */
  memory(machine: SimMachine): GuestMemory {
    const memory = this.#memories.get(machine.externalId) ?? newGuestMemory(machine.boots);
    this.#memories.set(machine.externalId, memory);
    if (memory.boot !== machine.boots) Object.assign(memory, { boot: machine.boots, ...freshBoot() });
    return memory;
  }
}

/** Milliseconds; 0 when it is another command. */
function sleepOf([program, seconds = "0"]: readonly string[]): number {
  return program === "/bin/sleep" ? Number(seconds) * 1_000 : 0;
}

function cut(text: string): string {
  const bytes = Buffer.from(text);
  return bytes.length <= channelOutputLimitBytes ? text : bytes.subarray(0, channelOutputLimitBytes).toString();
}
