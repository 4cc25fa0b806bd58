/** The simulated site as a subject of the provider conformance suite. */
import type { ConformanceSubject } from "#provider/conformance.ts";
import type { MachineKind } from "#provider/contract.ts";
import type { SimControl } from "#providers/sim/control.ts";
import { simCapabilities, simFactory } from "#providers/sim/provider.ts";

/** The segment every machine of the suite is on. Make it before the checks start machines. */
export const simAttachment = "sconf";

export interface SimSubjectOptions {
  readonly endpoint: string;
  readonly kinds: MachineKind[];
  readonly socket: () => string;
  readonly control: () => SimControl;
}

export function simSubject({ endpoint, kinds, socket, control }: SimSubjectOptions): ConformanceSubject {
  const digest = "c0ffee".padEnd(64, "0");
  const image = { name: `strat-${digest.slice(0, 16)}`, digest };
  let machines = 0;
  return {
    name: `sim (${kinds.join(", ")})`,
    capabilities: simCapabilities(kinds),
    open: () => simFactory.open({ socket: socket(), endpoint, kinds }),
    openUnreachable: () => simFactory.open({ socket: `${socket()}.missing`, endpoint, kinds }),
    machine(overrides) {
      const host = (machines++ % 250) + 2;
      const nic = {
        name: "eth0",
        attachment: simAttachment,
        mac: `02:00:00:00:00:${host.toString(16).padStart(2, "0")}`,
        address: `10.64.1.${host}`,
        prefixLength: 24,
        gateway: "10.64.1.1",
      };
      const hosts = [{ address: nic.address, names: ["node-0", "node"] }];
      const spec = { kind: kinds[0] ?? "vm", image, vcpus: 1, memoryMiB: 96, nics: [nic], volumes: [], hostname: "node-0", hosts };
      return { ...spec, ...overrides };
    },
    imageSource: () => ({ ...image, format: "sim", sizeBytes: 1_000 }),
    foreign: {
      create: (name) => control().machinePlant(endpoint, name),
      async fingerprint(name) {
        const machine = (await control().dump()).endpoints[endpoint]?.machines.find((found) => found.name === name);
        return machine === undefined ? "" : JSON.stringify(machine);
      },
      remove: (name) => control().machineVanish(endpoint, name),
    },
    kill: (name) => control().machineKill(endpoint, name),
    byHand: {
      nicRemove: (name, nic) => control().nicRemove(endpoint, name, nic.name),
      memorySet: (name, memoryMiB) => control().machineChange(endpoint, name, { memoryMiB }),
    },
    content: {
      async write(provider, ctx, spec, volume, text) {
        const { exitCode, stderr } = await provider.channelRun(ctx, spec, { argv: ["/usr/bin/tee", markPath(volume)], stdin: text });
        if (exitCode !== 0) throw new Error(`the mark was not written: ${stderr}`);
      },
      read: async (provider, ctx, spec, volume) => (await provider.channelRun(ctx, spec, { argv: ["/bin/cat", markPath(volume)] })).stdout,
    },
    async leftovers(name) {
      const machines = (await control().dump()).endpoints[endpoint]?.machines ?? [];
      return machines.map((machine) => machine.name).filter((found) => found === name || found.startsWith(`${name}.`));
    },
  };
}

const markPath = (volume: string | null) => (volume === null ? "/root/mark" : `/var/lib/stratiform/volumes/${volume}/mark`);
