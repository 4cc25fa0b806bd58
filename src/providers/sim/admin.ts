/** What a test may do to the simulated site besides the contracts: script faults, act behind the control plane's back, look at everything. */
import { z } from "zod";
import { AppError } from "#domain/error.ts";
import type { Operation, SimServer } from "#providers/sim/server.ts";
import { eventFault, guestBehaviour, machineByHand, plantedMachine } from "#providers/sim/wire.ts";
import type { SimProbe } from "#providers/sim/world.ts";

const machineAddress = z.object({ endpoint: z.string(), name: z.string() });
const nicAddress = machineAddress.extend({ nic: z.string() });
const outage = z.object({ scope: z.string(), forMs: z.int().min(0) });
const probeSpec = z.object({ name: z.string(), segment: z.string().nullable(), address: z.ipv4() });
const probeName = z.object({ name: z.string() });
const probeListen = probeName.extend({ port: z.int(), answer: z.string() });
const probeFetch = probeName.extend({ address: z.string(), port: z.int() });

export function adminOperations(server: SimServer): Readonly<Record<string, Operation>> {
  const { world, damage, network, faults } = server;
  const probe = (name: string): SimProbe => {
    const found = world.probes.get(name);
    if (found === undefined) throw new AppError("not_found", `there is no probe host ${name}`);
    return found;
  };
  return {
    faultAdd: (body) => faults.add(body),
    faultClear: () => {
      faults.clear();
      server.eventFaults.clear();
    },
    unreachable: (body) => {
      const { scope, forMs } = outage.parse(body);
      faults.unreachable(scope, forMs);
      if (forMs > 0) server.dropWatchers(scope);
    },
    daemonRestart: (body) => {
      const { scope, forMs } = outage.parse(body);
      faults.unreachable(scope, forMs);
      server.cut(scope);
    },
    eventFault: (body) => {
      const { endpoint, ...how } = eventFault.parse(body);
      server.eventFaults.set(endpoint, how);
    },
    machineKill: byName((endpoint, name) => damage.kill(endpoint, name)),
    machineVanish: byName((endpoint, name) => damage.vanish(endpoint, name)),
    machineHang: byName((endpoint, name) => damage.hang(endpoint, name)),
    machinePlant: (body) => damage.plant(plantedMachine.parse(body)),
    machineChange: (body) => damage.change(machineByHand.parse(body)),
    nicRemove: (body) => {
      const { endpoint, name, nic } = nicAddress.parse(body);
      damage.nicRemove(endpoint, name, nic);
    },
    guestBehave: (body) => {
      const { endpoint, name, ...change } = guestBehaviour.parse(body);
      server.guests.behave(endpoint, name, change);
    },
    probeAttach: (body) => {
      const spec = probeSpec.parse(body);
      world.put("probe", spec.name, { ...spec, listeners: {} });
    },
    probeListen: (body) => {
      const { name, port, answer } = probeListen.parse(body);
      const found = probe(name);
      world.put("probe", name, { ...found, listeners: { ...found.listeners, [port]: answer } });
    },
    probeFetch: (body) => {
      const { name, address, port } = probeFetch.parse(body);
      return network.probeFetch(probe(name), address, port);
    },
    probeRemove: (body) => {
      const { name } = probeName.parse(body);
      if (world.probes.has(name)) world.put("probe", name, null);
    },
    dump: () => dump(server),
  };
}

function byName(act: (endpoint: string, name: string) => void): Operation {
  return (body) => {
    const { endpoint, name } = machineAddress.parse(body);
    act(endpoint, name);
  };
}

function dump({ world, calls }: SimServer): object {
  const endpoints = Array.from(world.endpoints, ([name, { machines, images }]): [string, object] => [
    name,
    { machines: [...machines.values()], images: [...images.values()] },
  ]);
  return {
    changes: world.changes,
    calls: Object.fromEntries(calls),
    endpoints: Object.fromEntries(endpoints),
    segments: [...world.segments.values()],
    exposures: [...world.exposures.values()],
  };
}
