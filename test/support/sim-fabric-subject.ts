/** The simulated site as a subject of the fabric conformance suite: its probe hosts live in the simulated world. */
import { createConnection } from "node:net";
import type { FabricSubject, ProbeHost } from "#fabric/conformance.ts";
import { simFabricCapabilities, simFabricFactory } from "#fabrics/sim/fabric.ts";
import { SimControl } from "#providers/sim/control.ts";
import { simPaths, startSim, type RunningSim } from "./sim.ts";

export function simFabricSubject(): FabricSubject {
  const paths = simPaths();
  const control = new SimControl(paths.socket);
  let sim: RunningSim | undefined;
  let hosts = 0;

  async function attach(segment: string | null, address: string): Promise<ProbeHost> {
    const name = `probe${hosts++}`;
    await control.probeAttach(name, segment, address);
    return {
      address,
      listen: (port, answer) => control.probeListen(name, port, answer),
      // Exposures are real sockets on this host; everything else is decided inside the simulated world.
      fetch: (to, port, timeoutMs) =>
        segment === null && to === "127.0.0.1" ? socketRead(to, port, timeoutMs) : control.probeFetch(name, to, port),
      remove: () => control.probeRemove(name),
    };
  }

  return {
    name: "sim",
    capabilities: simFabricCapabilities,
    async start() {
      sim = await startSim(paths);
    },
    async stop() {
      control.close();
      await sim?.stop();
      paths.remove();
    },
    open: async () => simFabricFactory.open({ socket: paths.socket }),
    attachHost: (segment, address) => attach(segment.name, address),
    outside: () => attach(null, `203.0.113.${(hosts % 250) + 1}`),
    async restart() {
      await sim?.kill();
      sim = await startSim(paths);
    },
  };
}

/** Everything a TCP server says until it closes; null when it refuses, resets or stays silent. */
export function socketRead(address: string, port: number, timeoutMs: number): Promise<string | null> {
  return new Promise((resolve) => {
    const socket = createConnection(port, address);
    let heard = "";
    const end = (result: string | null) => {
      socket.destroy();
      resolve(result);
    };
    socket.setTimeout(timeoutMs, () => end(null));
    socket.on("data", (chunk: Buffer) => (heard += chunk.toString()));
    socket.on("end", () => end(heard));
    socket.on("error", () => end(null));
  });
}
