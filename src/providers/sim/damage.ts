/** What happens to simulated machines behind the control plane's back, by accident or by hand. No call of the contract comes here. */
import { randomUUID } from "node:crypto";
import { AppError } from "#domain/error.ts";
import type { Machines } from "#providers/sim/machines.ts";
import type { MachineByHand, PlantedMachine } from "#providers/sim/wire.ts";
import { blankMachine, type World } from "#providers/sim/world.ts";

export class Damage {
  readonly #world: World;
  readonly #machines: Machines;

  constructor(world: World, machines: Machines) {
    this.#world = world;
    this.#machines = machines;
  }

  /** The plug is pulled. */
  kill(endpoint: string, name: string): void {
    const machine = this.#machines.any(endpoint, name);
    if (machine.power !== "running") throw new AppError("conflict", `machine ${name} is ${machine.power}: nothing to kill`);
    this.#machines.power(machine, "crashed", "killed");
  }

  /** Gone, whoever owns it. */
  vanish(endpoint: string, name: string): void {
    const machine = this.#world.endpoint(endpoint).machines.get(name);
    if (machine !== undefined) this.#machines.drop(machine, "removed by somebody else");
  }

  /** A machine of somebody else. */
  plant({ endpoint, name, ...records }: PlantedMachine): void {
    if (this.#world.endpoint(endpoint).machines.has(name)) throw new AppError("conflict", `machine ${name} exists`);
    const size = { vcpus: 1, memoryMiB: 64, nics: [], hosts: [], kind: "vm" as const };
    const identity = { endpoint, name, hostname: name, owner: null, image: null, externalId: randomUUID() };
    this.#machines.put({ ...blankMachine, ...size, ...identity, ...records, power: "running" });
  }

  /** Runs on, and neither its channel nor its services answer any more. Nobody is told: there is no event for it. */
  hang(endpoint: string, name: string): void {
    const machine = this.#machines.any(endpoint, name);
    if (machine.power !== "running") throw new AppError("conflict", `machine ${name} is ${machine.power}: it cannot hang`);
    this.#machines.put({ ...machine, hung: true });
  }

  /** Takes a NIC away, running or not. */
  nicRemove(endpoint: string, name: string, nic: string): void {
    const machine = this.#machines.any(endpoint, name);
    const kept = machine.nics.filter((each) => each.name !== nic);
    if (kept.length === machine.nics.length) throw new AppError("not_found", `machine ${name} has no NIC ${nic}`);
    this.#machines.changed({ ...machine, nics: kept }, "a NIC was removed");
  }

  /** Somebody's hand at its size. */
  change({ endpoint, name, vcpus, memoryMiB }: MachineByHand): void {
    const machine = this.#machines.any(endpoint, name);
    this.#machines.changed(
      { ...machine, vcpus: vcpus ?? machine.vcpus, memoryMiB: memoryMiB ?? machine.memoryMiB },
      "its size was changed",
    );
  }
}
